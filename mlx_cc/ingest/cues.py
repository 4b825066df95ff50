"""Cues: phrases of agents, customers and announcements, in six languages.

A cue is something that people do (offer help, ask for an account number), with the phrases for it. Phrases are
separated by `|`, in lower case, without accents, apostrophes or punctuation. `a/b` is either word, `word?` is
optional, `word*` has any ending, `...` is up to three words. Chinese phrases are found anywhere in a sentence; there
`...` is up to six characters. Where two phrases start at the same word the one with more words counts.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple


class Cue(NamedTuple):
    """A cue and its weight as evidence of the speaker's role."""

    name: str
    role: str
    """agent, customer or bot."""
    weight: float
    """Log likelihood ratio of this role saying it against the other, estimated low by hand."""
    phrases: str


CUES: tuple[Cue, ...] = (
    # Agents
    Cue("offers help", "agent", 3.0, """
        how can/may/could/might i/we help/assist/serve | how can/may i be of | how may/can i direct
        | what can/may i do for you | what can i help you with | what may i help | can/may i help you
        | how are you doing today how can | en que puedo/podemos ayudar* | en que le/te/lo/la puedo/podemos
        | en que puedo/podemos servir* | como puedo/podemos ayudar* | como le/te/lo/la puedo/podemos ayudar
        | como puedo asistir* | comment puis je vous | comment pouvons nous vous | comment je peux vous aider
        | comment puis je taider | en quoi puis je vous | en quoi je peux vous | que puis je faire pour vous
        | quest ce que je peux faire pour vous | wie kann/darf/konnen ich/wir ihnen/dir/euch
        | wie kann/darf ich behilflich | was kann/darf/konnen ich/wir fur sie/dich tun | womit kann/darf ich
        | como posso/podemos te/lhe/o/a? ajudar | em/no que posso/podemos te/lhe/o/a? ajudar | em que posso ser
        | em que posso servir | 有什么可以帮 | 有什么能帮 | 有什么需要帮 | 什么可以为您 | 什么能为您
        | 有什么可以为您 | 很高兴为您服务 | 需要什么帮助"""),
    Cue("greets for the company", "agent", 3.0, """
        thank you/u for calling | thanks for calling | thank you for contacting/choosing/phoning
        | thanks for contacting/choosing/phoning | thank you/u for reaching out | thanks for reaching out
        | youre through to | you are through to | youve reached | you have reached | gracias por llamar
        | gracias por comunicar* | gracias por contactar* | gracias por su llamada | merci davoir appele/contacte
        | merci de votre appel | merci pour votre appel | merci dappeler | merci de nous | merci de contacter
        | vielen dank fur ihren anruf | danke fur ihren anruf | vielen dank dass sie | danke dass sie
        | obrigado/obrigada por ligar/contatar/contactar | obrigado/obrigada por entrar em
        | obrigado/obrigada pela sua ligacao | 感谢您的来电 | 感谢您致电 | 感谢致电 | 欢迎致电 | 为您服务
        | 我是客服 | 工号"""),
    Cue("welcomes", "agent", 1.0, """
        welcome to | bienvenido/bienvenida/bienvenidos a | bienvenue chez | willkommen bei/beim | bem vindo/vinda
        | 欢迎光临 | 欢迎来到"""),
    Cue("introduces a service", "agent", 2.2, """
        you are/re? speaking with/to | youre speaking with/to | you are talking with/to | ill be assisting you
        | i will be assisting you | ill be helping you | i will be helping you | le atiende | le habla
        | te atiende | sie sprechen mit | customer service/support/care this is | technical support this is
        | support this is | im calling from | i am calling from | im calling about/regarding/concerning your
        | i am calling about/regarding/concerning your | this is ... calling from | le llamo de/del
        | je vous appelle de/du | ich rufe sie von/vom/aus | estou ligando da/do | 这里是...客服"""),
    Cue("asks who is there", "agent", 2.4, """
        who am i speaking | whom am i speaking | who do i have the pleasure | may/can i ask who
        | may/can/could i have/get/know your ... name | could/can i have/get your ... name | am i speaking with/to
        | may/can i speak with/to mr/mrs/ms | with whom am i | who i am/m? speaking | con quien tengo el
        | con quien hablo/estoy | me regala su nombre | me permite/brinda/indica su nombre | a qui ai je
        | mit wem spreche/habe ich | wie ist ihr name | wie lautet ihr name | com quem eu? falo
        | com quem estou falando | quem fala por favor | 您贵姓 | 怎么称呼您 | 如何称呼您"""),
    Cue("asks for details", "agent", 2.2, """
        can/could/may i/we please? have/get/take/grab/ask your | can/could/may i/we please? have/get the
        | may i please | can/could/would you please? provide/verify/confirm/state/share me/us? with? your/the
        | can/could/would you please? tell/give me/us your | can/could/would you please? spell
        | could/can you please provide | please provide/confirm/verify/enter me/us? with? your/the
        | what is/s? your | whats your | what was your | which email/address/account | ill/i need your
        | i will need your | i just need your | can/could you verify/confirm | for verification
        | for security purposes/reasons | to verify your | verify your identity/account/information
        | do you have your/an/the ... number/id | may i know your/the | please confirm
        | me puede/podria/puedes/podrias ... su/tu
        | me confirma/indica/regala/proporciona/brinda/facilita su/el/tu | podria/puede ... su/tu | cual es su/tu
        | por seguridad | por motivos de seguridad | puis je avoir votre/vos
        | pouvez/pourriez vous me? ... votre/vos | quel/quelle est votre/le/la | avez vous votre/un/le
        | konnen/konnten/wurden/wurdest sie/du mir bitte? ... ihre/ihren/ihr/deine/die/das
        | wie lautet/ist ihr/ihre | durfte/darf/kann ich bitte? ... ihre/ihren/ihr | nennen/geben sie mir
        | haben sie ... kundennummer/bestellnummer/rechnungsnummer | zur sicherheit
        | pode/poderia ... informar/confirmar/passar | pode/poderia me dizer ... seu/sua | qual e? o/a? seu/sua
        | me confirma/informa/passa o/a/seu/sua | por gentileza | 请提供 | 提供一下 | 请问您的 | 请问您是
        | 请您提供 | 核实一下 | 核对一下 | 报一下 | 告诉我您的 | 您的订单号 | 您的手机号 | 您的姓名 | 您的身份证
        | 麻烦您"""),
    Cue("offers more help", "agent", 2.6, """
        is/was there anything/something else | anything else i/we can/could/may | anything else that i/we
        | anything else you need/would | help/assist you with anything else | help/assist with anything else
        | need help/assistance with anything else | any other questions | do you need anything else
        | you need further assistance | hay algo mas | algo mas en que/lo | algo mas que pueda | alguna otra cosa
        | alguna otra duda/consulta | puedo ayudar* en algo mas | autre chose que je puisse
        | autre chose pour vous | puis je faire autre | avez vous dautres questions | avez vous une autre question
        | y a t il autre chose | kann ich sonst | kann ich noch etwas | kann ich ihnen sonst/noch
        | sonst noch etwas/was | haben sie noch/weitere | noch etwas fur sie | posso ajudar* ... em algo mais
        | mais alguma coisa | algo mais em que | mais alguma duda/duvida | posso ajudar em mais | 还有什么可以帮
        | 还有其他 | 还有别的 | 还需要什么 | 还有什么需要 | 还有什么问题"""),
    Cue("puts on hold", "agent", 1.8, """
        place/put/placing/putting you on | bear with me | please hold | mind holding | mind if i place/put
        | thank you for holding/waiting | thanks for holding/waiting | thank you for your patience
        | thanks for your patience | appreciate your patience | one moment/minute/second please? while i
        | gracias por esperar | gracias por su espera/paciencia | gracias por la espera | no cuelgue
        | permitame un | le voy a poner | mantengase en | deme un momento/minuto/segundo | me permite un
        | je vous mets en | ne quittez pas | merci de patienter | merci davoir patiente
        | merci pour votre patience | je vous demande un | bleiben sie bitte? dran | danke fur ihre geduld
        | vielen dank fur ihre geduld | danke furs warten | in die warteschleife | aguarde um/so/na
        | obrigado/obrigada por aguardar/esperar | obrigado/obrigada pela espera | permaneca na linha
        | vou colocar* ... em espera | 请稍等 | 请您稍等 | 稍等一下 | 稍等片刻 | 感谢您的耐心 | 让您久等 | 您稍等"""),
    Cue("asks for a moment", "agent", 0.6, """
        one moment please? | just a moment | give me a/one/just moment/second/minute/sec | one second | hold on
        | un momento por favor | un instant | einen/kleinen moment bitte | um/so momento | um instante"""),
    Cue("looks it up", "agent", 1.0, """
        let me check/pull/look/see/verify/find/get/take/go/just | ill/i check/look/pull up/into/that | let me just
        | ill check | i will check | im pulling up | im showing | im seeing | i can see here/that/your
        | i see here that | it says here | looks like your/you | i do see your/that/the
        | dejeme/permitame/dejame verificar/revisar/ver/checar | voy a verificar/revisar/checar | veo que su
        | je regarde/verifie | je vais verifier/regarder | laissez moi | je vois que vous/votre
        | ich schaue/schau/sehe/prufe/prufe mal? nach/das/kurz | ich sehe hier | vou verificar/consultar/checar
        | deixa/deixe eu ver/verificar | estou verificando | 帮您查 | 为您查 | 给您查 | 我查一下 | 我看一下
        | 我这边看 | 这边看到 | 帮您看"""),
    Cue("serves", "agent", 1.3, """
        i can help/assist you with/further/get | i can definitely/certainly/absolutely help/assist
        | be happy/glad to help/assist | happy/glad to help/assist | i can offer you | i can do that for you
        | i can go ahead and | ill go ahead and | i will go ahead and | ive gone ahead | ill/i transfer you
        | transfer/transferring/connect you to/with/over | ill send you | i will send you | ill email you
        | well send you | i have/ve processed/updated/cancelled/canceled/reset/submitted/applied/booked
        | email you the/a | ive processed/updated/cancelled/canceled/reset/submitted/applied/booked
        | would you like me to | do you want me to | shall i | shall we | would you like to | would you prefer
        | can i place/book/proceed | le puedo ofrecer | con mucho gusto | con gusto
        | le voy a enviar/transferir/pasar | le ayudo | voy a transferir* | le gustaria/quiere que | desea que
        | je vous envoie/transfere/passe/propose | je vais vous | souhaitez vous | voulez vous que | avec plaisir
        | ich verbinde sie | ich schicke ihnen | ich kann ihnen | ich habe ihnen | gerne helfe | mochten sie
        | soll ich | vou transferir | vou te/lhe/estar enviar/transferir | gostaria que eu | deseja que
        | o/a senhor/senhora | 我帮您 | 帮您 | 为您 | 给您"""),
    Cue("apologises for the company", "agent", 1.6, """
        apologize/apologise/apologies/sorry for the/any/this inconvenience/trouble/delay/wait/confusion
        | apologize/apologise for | sorry to hear | understand your frustration/concern
        | i understand how frustrating | disculpe/disculpas por | disculpe la demora
        | lamento/lamentamos mucho? el/la/las/los/que | desole/desolee pour la/le | je suis desole/desolee pour
        | je comprends votre | nous sommes desoles | entschuldigen sie die | tut mir leid dass sie
        | es tut mir leid dass | peco desculpa* | sinto muito pelo/pela | lamento pelo/pela | 非常抱歉 | 给您带来
        | 很抱歉给 | 抱歉给您 | 理解您的"""),
    Cue("speaks of the company as we", "agent", 0.8, """
        our system/records/policy/website/technician/team/end/department/store | on our end
        | we offer/have/provide/do | we can offer/send | nuestro/nuestra sistema/politica
        | notre systeme/equipe/service | unser/unsere system/techniker | nosso/nossa sistema/politica | 我们公司
        | 我们这边"""),
    Cue("speaks of what the customer has", "agent", 0.9, """
        your ... order/account/bill/card/subscription/reservation/booking/appointment
        | your ... plan/package/policy/refund/flight/payment
        | your email/phone/address/name/device/line/balance/ticket | you ll? receive/see/get a/an/the
        | you should receive | you will receive
        | su/tu pedido/cuenta/factura/tarjeta/reserva/linea/servicio/correo/numero/solicitud/telefono/saldo
        | votre commande/compte/facture/carte/reservation/ligne/dossier/colis/abonnement/numero/adresse
        | ihre/ihren/ihr/ihrer bestellung/konto/rechnung/karte/buchung/anliegen/vertrag/daten/paket/kundennummer
        | seu/sua pedido/conta/fatura/cartao/reserva/linha/cadastro/cpf/numero/email/telefone/plano | 您的 | 您"""),
    Cue("says goodbye for the company", "agent", 1.8, """
        thank you for being a/our | thanks for being a/our | thank you for your business/loyalty | valued customer
        | feel free to reach/contact/ask/call | dont hesitate to | do not hesitate to | short/brief survey
        | thank you for using/shopping/flying/banking | thank you and goodbye | que tenga un/una/buen/excelente
        | estamos para servir* | nhesitez pas a | ich wunsche ihnen | wunsche ihnen noch
        | tenha um/uma otimo/otima/bom/boa/excelente | agradece o/a/pelo/pela seu/sua? | agradecemos o/a/pelo/pela
        | qualquer duvida | 祝您 | 感谢您的"""),
    Cue("is pleasant", "agent", 0.5, """
        have a great/nice/wonderful/good/lovely day/evening/rest/one/weekend | youre welcome | my pleasure
        | you are welcome | let me know if you | passez une bonne/excellente | bonne journee | schonen tag
        | de nada | no problem"""),
    Cue("is attentive", "agent", 0.7, """
        great to hear | glad to hear | how are you doing today | how are you today | how is your day
        | i understand | perfecto gracias | wunderbar vielen dank"""),
    # Customers
    Cue("says why they call", "customer", 2.2, """
        im/i calling/phoning/writing/contacting/emailing about/because/to/regarding/in/for/as/on
        | i am calling/phoning/writing/contacting/emailing about/because/to/regarding/in/for/as/on
        | i was calling about/because/to/regarding/in/for | i called because/about/earlier/yesterday/last
        | i just called | the reason im/i calling/call | llamo porque/por/para/ya | llamaba porque/por/para
        | estoy llamando porque/por/para | le/les llamo porque/por/para | me comunico porque/para/por
        | je vous appelle parce/car/pour/au/concernant/a/suite
        | je vous contacte parce/car/pour/au/concernant/a/suite | jappelle parce/car/pour/au/concernant/suite
        | ich rufe an wegen/weil/da | ich rufe wegen | ich wollte mal? fragen/nachfragen/wissen
        | es geht um mein/meine/meinen/eine/einen/die/den/das | ich melde mich
        | estou/to ligando porque/para/por/pra | liguei porque/para/pra | entrei em contato porque/para | 我想咨询
        | 我想问 | 我想查 | 我要投诉 | 我打电话 | 我想投诉 | 我想了解 | 想咨询一下 | 想问一下"""),
    Cue("has a problem", "customer", 1.6, """
        i have a problem/question/issue/complaint/concern | i have an issue | ive got a problem/question/issue
        | ive got an issue | im having a/an/some/trouble/issues/problems/difficulty
        | i am having a/an/some/trouble/issues/problems | im experiencing | i cant seem
        | i cant/cannot log/access/get/find/download/connect/open/sign/pay/make/see/use
        | i can not log/access/get/find | i never got/received/ordered | i havent received/gotten/got
        | i have not received | stopped working | isnt working | not working | doesnt work
        | i was/got charged/overcharged/billed | charged me | ive been waiting/trying/on/charged/calling
        | i dont have the/my ... with/on | i lost/forgot my | i forgot | i dont understand why
        | why was/is/am/did i/my | i want/need a/my refund/money | i want my
        | speak/talk to/with a/your/the manager/supervisor/human/real/person/representative/agent/someone
        | this is ridiculous/unacceptable | tengo un/una problema/duda/pregunta/consulta/inconveniente
        | no me funciona/llega/llego/deja | no puedo | no he recibido/podido | me cobraron/llego/estan
        | quiero un/mi reembolso | quiero cancelar/cambiar/saber/hacer | jai un/une probleme/souci/question/petit
        | je narrive pas | je nai pas/toujours recu/pas | on ma preleve/facture/dit | ca ne marche/fonctionne
        | ne fonctionne/marche plus/pas | ich habe ein/eine/folgendes problem/frage/anliegen | ich kann mich nicht
        | ich kann nicht | funktioniert nicht | geht nicht | ich habe ... nicht/noch erhalten/bekommen/keine
        | estou/to com um/uma/problema/problemas/dificuldade/duvida | tenho um/uma problema/duvida | nao consigo
        | nao recebi | nao funciona | nao esta funcionando | fui cobrado/cobrada | 还没收到 | 没有收到 | 没收到
        | 怎么回事 | 我要退 | 我想退 | 不能用 | 用不了 | 登录不了 | 登不上 | 打不开 | 出问题 | 坏了 | 为什么我"""),
    Cue("wants something", "customer", 1.2, """
        i would like to | id like to | i want to | i need to | i wanted to | i was hoping | i was wondering
        | im wondering | im looking for/to | i am looking for/to | im trying to | i am trying to
        | i need a/an/some/help/your/the/my | i want a/an | id like a/an/the | i would like a/an/the
        | im also looking | i also need | quiero/quisiera | necesito | me gustaria | queria saber/preguntar/hacer
        | je voudrais | je souhaite/souhaiterais | jaimerais | jai besoin | ich mochte/brauche/benotige/will
        | ich hatte gern/gerne | ich wurde gern/gerne | eu queria/quero/preciso/gostaria
        | queria saber/fazer/pedir | gostaria de saber/cancelar/fazer/pedir/trocar/alterar
        | preciso de/que/cancelar/trocar | 我想 | 我要 | 我需要"""),
    Cue("asks to be helped", "customer", 1.2, """
        can/could/would you please? help/tell/show/find/give/book/recommend me/us
        | can/could/would you please? check/change/cancel/look/see/explain my/if/why | could/can you help
        | please help | help me | how do/can/would i | how much is/are/does/do/will/would | do i have/need to
        | will i be/get/have/need | can i get/change/cancel/return/speak/talk/pay/use/still/ask
        | is it possible to | i have a question about | do you know if/when/why | what do/should i
        | when will my/i/it | where is my | me puede/podria ayudar | me puedes/podrias ayudar
        | puede/puedes/podria ayudarme | pouvez/pourriez vous maider | pouvez/pourriez vous me dire
        | comment faire | comment je fais | konnen/konnten sie mir helfen/sagen
        | wie kann ich mein/meine/das/die/meinen | wann kommt | wo ist/bleibt mein/meine | pode/poderia me ajudar
        | voce pode me | como faco/eu | quando vai | 帮我 | 能帮我 | 可以帮我 | 怎么办 | 请问怎么 | 我怎么"""),
    Cue("speaks of what is theirs", "customer", 1.1, """
        my ... order/account/bill/card/subscription/reservation/booking/appointment
        | my ... plan/package/policy/refund/flight/payment/statement
        | my phone/internet/password/computer/laptop/wifi/modem/router/ticket/seat/trip/balance
        | my son/daughter/husband/wife/mother/father/insurance/car/house/online/service/ssn/bank
        | mi/mis pedido/pedidos/cuenta/factura/tarjeta/reserva/linea/servicio/internet
        | mi/mis telefono/vuelo/paquete/contrasena/esposo/esposa/hijo/hija/plan/saldo
        | mon/ma/mes commande/compte/facture/carte/reservation/ligne/colis/abonnement
        | mon/ma/mes telephone/mari/femme/forfait/box/vol/billet/contrat/mot
        | mein/meine/meinen/meiner/meinem bestellung/konto/rechnung/karte/buchung/vertrag/paket
        | mein/meine/meinen/meiner/meinem internet/handy/passwort/mann/frau/flug/lieferung/router/anschluss/abo
        | meu/minha pedido/conta/fatura/cartao/reserva/linha
        | meu/minha internet/telefone/celular/voo/plano/senha/marido/esposa/encomenda/compra/boleto
        | 我的订单 | 我的账 | 我的卡 | 我的手机 | 我的快递 | 我的包裹 | 我的信用卡 | 我的会员 | 我的宽带
        | 我的话费 | 我的密码 | 我买的 | 我订的 | 我家"""),
    Cue("gives details", "customer", 1.5, """
        my ... id/number/code/email/address/birthday/zip/username is | my date of birth is
        | my last/full/first/middle name is
        | the order/reservation/account/confirmation/tracking number/id/code is | its under/underneath
        | it is under | sure its/it | yes its/it | sure my | yes my | mi numero/correo/direccion/usuario es
        | mon numero/adresse/mail est | cest le numero
        | meine/mein kundennummer/bestellnummer/adresse/kontonummer/nummer ist/lautet
        | die kundennummer/bestellnummer/nummer ist/lautet | meu/minha cpf/numero/email/endereco e | 我的订单号是
        | 号码是 | 我的号码 | 我的身份证"""),
    Cue("thanks for the help", "customer", 1.6, """
        thank you/u ... for your/the/all/being help/assistance/so/very/time
        | thanks ... for your/the/all help/assistance | thanks for helping | thank you for helping
        | thank you for all/the your? help | youve been ... helpful/great | you have been ... helpful
        | thank you for getting/calling me | thank you for calling me | thank you for calling back
        | thanks for calling me/back | gracias por su/tu/la ayuda | muy amable | merci pour votre/laide
        | merci de votre aide | danke fur ihre/die hilfe | vielen dank fur ihre/die hilfe
        | obrigado/obrigada pela/por ajuda/atencao | 谢谢你的帮助"""),
    Cue("needs no more", "customer", 1.4, """
        no that/thats is/s? all/it/everything | no that/that will/would/ll be all/it
        | that/thats will/is all/it for/i/thank/thanks/be | that is all | thats all | thats it | thats everything
        | no thats | that will be all | that would be all | nothing else | no nothing | no im good/all/fine
        | not right now | no not | is there anything else i need/should/have | no thank you | no thanks
        | eso es todo | seria todo | es todo | nada mas | cest tout | ce sera tout | non merci | das wars
        | das war alles | das ist alles | nein danke | nein das | so isso | era so/isso | e so
        | nao obrigado/obrigada | 没有了 | 没事了 | 就这些 | 没别的 | 不用了"""),
    Cue("decides", "customer", 0.6, """
        yes please | please proceed/do | go ahead | sounds good/great | that works | ok/okay thank/thanks you?
        | okay sure | yes thats correct/right | yes that is | oh ok/okay | si por favor | oui sil | ja bitte
        | sim por favor | 好的谢谢 | 可以的 | 嗯好"""),
    # Announcements
    Cue("is a machine", "bot", 6.0, """
        im a/an/your virtual/automated/ai/digital assistant/agent
        | i am a/an/your virtual/automated/ai/digital assistant/agent | soy su/el/la/tu asistente virtual
        | je suis votre/lassistant assistant/assistante? virtuel/virtuelle | ich bin ihr virtueller/digitaler
        | sou a/o/seu/sua assistente virtual | 智能客服 | 智能助手 | 机器人为您"""),
    Cue("is a menu", "bot", 3.5, """
        press 1/2/3/4/5/0/9/one/two/three/four/five/zero/nine/pound/star | say or enter | using your keypad
        | on your keypad | dial one/1/two/2 | your call is very? important
        | next available agent/representative/associate/operator/advisor | menu options have
        | please listen carefully | all of? our/of agents/representatives/operators/lines/advisors are
        | estimated wait time | after the tone/beep | marque/oprima/presione/pulse el? 1/2/3/uno/dos/tres
        | todos nuestros agentes/asesores/operadores | su llamada es | tapez/faites 1/2/3/un/deux/trois/le/sur
        | appuyez sur | tous nos conseillers/operateurs | drucken sie die/eins/1/2
        | alle unserer? mitarbeiter/platze/leitungen | wahlen sie die/eins
        | digite/tecle/disque/pressione 1/2/3/um/dois/tres/a/o | todos os nossos | sua ligacao e | 请按 | 按一
        | 按1 | 座席忙 | 坐席忙"""),
    Cue("announces recording", "bot", 1.5, """
        call/calls may/will/is/are/can be/being? recorded/monitored | conversation may/will be recorded/monitored
        | recorded for quality/training | recorded line | llamada puede/sera/esta ser/siendo? grabada/monitoreada
        | appel peut/est/sera etre/susceptible | gesprach wird/kann ... aufgezeichnet
        | ligacao pode/sera/esta ser/sendo? gravada | 通话将被录音 | 通话可能会被录音 | 将会录音"""),
)  # fmt: skip

_HAN = re.compile(r"[㐀-鿿]")
_BETWEEN_HAN = re.compile(r"(?<=[㐀-鿿]) +(?=[㐀-鿿])")
_NOT_A_WORD = re.compile(r"[^\w]+")
_ASCII = {n: " " for n in range(128) if not (chr(n).isalnum() or chr(n) in "_'")} | {ord("'"): None}
_ASCII_LINES = _ASCII | {ord("\n"): "\n"}


def plain(text: str) -> str:
    """Text in the form of the phrases: lower case, one space between words, no accents, apostrophes or punctuation."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("’", ""))
        if not text.isascii():
            text = _NOT_A_WORD.sub(" ", "".join(c for c in text.replace("'", "") if not unicodedata.combining(c)))
            text = _BETWEEN_HAN.sub("", text)
    return " ".join(text.translate(_ASCII).split())


def _plain_lines(texts: Iterable[str]) -> str:
    """The plain form of each text, joined by line feeds; ASCII texts are converted together, for speed."""
    lines = "\n".join(text.replace("\n", " ") for text in texts)
    if not lines.isascii():
        return " \n ".join(map(plain, lines.split("\n")))
    return " \n ".join(" ".join(line.split()) for line in lines.lower().translate(_ASCII_LINES).split("\n"))


@cache
def _compiled() -> tuple[dict[str, tuple[re.Pattern[str], list[int]]], re.Pattern[str], list[int]]:
    """First word -> (its phrases, the cue of each group); the Chinese phrases, and the cue of each group."""
    spoken: dict[str, list[tuple[int, str, int]]] = {}
    written: list[tuple[int, str, int]] = []
    for number, cue in enumerate(CUES):
        for phrase in " ".join(cue.phrases.split()).split(" | "):
            if _HAN.search(phrase):
                written.append((len(phrase), phrase.replace("...", ".{0,6}?") + "()", number))
                continue
            first, *rest = phrase.split()
            # One pattern for each choice of the second word: alternatives that start with a letter are passed quickly.
            choices = [""] if not rest else [rest[0]] if rest[0] == "..." or rest[0][-1] == "?" else rest[0].split("/")
            for choice in choices:
                pattern = "".join(map(_word, [choice, *rest[1:]] if choice else rest)) + "()"
                for word in first.split("/"):
                    spoken.setdefault(word, []).append((len(rest), pattern, number))
    by_word = {}
    for word, phrases in spoken.items():
        phrases.sort(key=lambda found: -found[0])
        by_word[word] = (re.compile(f" {word} (?:{'|'.join(p for _, p, _ in phrases)})"), [n for *_, n in phrases])
    written.sort(key=lambda found: -found[0])
    return by_word, re.compile("|".join(p for _, p, _ in written)), [n for *_, n in written]


def _word(token: str) -> str:
    """The pattern of one word of a phrase with the space after it."""
    if token == "...":
        return r"(?:[^ \n]+ ){0,3}?"
    words = token.removesuffix("?").replace("*", r"\w*").split("/")
    either = words[0] if len(words) == 1 else f"(?:{'|'.join(words)})"
    return f"(?:{either} )?" if token.endswith("?") else f"{either} "


def heard(texts: Iterable[str]) -> Counter[str]:
    """Name of each cue in one voice's texts -> how often it occurs."""
    return Counter({CUES[number].name: times for number, times in _heard(texts).items()})


def evidence(texts: Iterable[str]) -> dict[str, float]:
    """Role -> summed weight of its cues in one voice's texts; a repeated cue adds half its weight once."""
    sums = {"agent": 0.0, "customer": 0.0, "bot": 0.0}
    for number, times in sorted(_heard(texts).items()):
        cue = CUES[number]
        sums[cue.role] += cue.weight * (1.5 if times > 1 else 1)
    return sums


def _heard(texts: Iterable[str]) -> Counter[int]:
    """Index of a cue -> how often it occurs."""
    text = f" {_plain_lines(texts)} "
    spoken, written, written_cues = _compiled()
    found: Counter[int] = Counter()
    heard_upto: dict[str, int] = {}
    """First word -> end of its last match; phrases with the same first word must not overlap."""
    space = -1
    for word in text.split(" "):
        if word in spoken and space >= heard_upto.get(word, 0):
            pattern, cues = spoken[word]
            if match := pattern.match(text, space):
                found[cues[match.lastindex - 1]] += 1  # pyright: ignore[reportOptionalOperand]: every phrase has a group
                heard_upto[word] = match.end()
        space += len(word) + 1
    if not text.isascii():
        for match in written.finditer(text):
            found[written_cues[match.lastindex - 1]] += 1  # pyright: ignore[reportOptionalOperand]
    return found
