"""The held-out phrasing for measuring redaction. No rule was tuned on it and its misses are not to be read.

Anyone who changes a rule looks at `redaction_tuning.py`; this file only gives the final score.
A blank line ends a conversation; `#` opens a group: language, then how often each of its
conversations is drawn. Slots are explained in `redaction_sets.py`.
"""

FIRST = {
    "en": "Tamsin Rowan Percival Odette Marcus Leila Harriet Desmond Priya Caleb Bronwyn Theo Joanna Winston Carla Nigel",
    "es": "Rocío Álvaro Jimena Ignacio Beatriz Tomás Noelia Fermín",
    "fr": "Aurélie Baptiste Maëlle Gaspard Solène Thibault Colette Rémi",
    "de": "Annegret Torsten Wiebke Konrad Ulrike Detlef Franziska Holger",
    "zh": "志强 雅婷 国栋 思琪 海燕 俊杰",
}
LAST = {
    "en": "Okafor Whitcombe Delaney Ferreira Lindqvist Ashworth Banerjee McAllister Tremblay O'Rourke Hargrove Yamamoto",
    "es": "Cabrera Montoya Escudero Villalobos Zamora Quintero",
    "fr": "Lacroix Marchand Delacourt Perrin Boisvert Fontaine",
    "de": "Brinkmann Osterholz Wiegand Kaltenbach Schreiber Löffler",
    "zh": "欧阳 林 郭 何 罗 梁",
}
STREETS = {
    "en": "Juniper Hollow Lane|Fifth Avenue|Copperfield Drive|Old Mill Road|Harbour View Crescent|Saint Clair Boulevard|Birchwood Court|Station Road|W Pine St|Larkspur Way",
    "es": "Calle de Alcalá|Avenida Libertad|Paseo del Prado|Calle Mayor",
    "fr": "rue de la République|avenue Victor Hugo|boulevard Voltaire|rue des Lilas",
    "de": "Hauptstraße|Lindenallee|Goethestraße|Am Alten Markt",
    "zh": "建国路|南京西路|中山大道|学院路",
}
TOWNS = {
    "en": "Dayton OH|Tucson AZ|Shrewsbury|Duluth MN|Asheville NC|Norwich",
    "es": "Zaragoza|Murcia|Valladolid",
    "fr": "Grenoble|Nantes|Dijon",
    "de": "Kassel|Bremen|Augsburg",
    "zh": "成都市|武汉市|南京市",
}
MAILS = "pixelfjord.io|mailhaven.co.uk|northgate.edu|quickpost.fr|bluemarble.net"

CONVERSATIONS = """
# en 6

A: Which card would you like me to put this on?
C: The Visa, so that's {CARD}
A: And what do the little digits on the signature strip say?
C: {CVV}

A: Go ahead with the long number whenever you've got it in front of you.
C: Sure. {CARD.1of2}
A: Uh-huh.
C: {CARD.2of2}
A: Perfect, thank you.

C: I tried paying three times with {CARD} but your site keeps bouncing it.
A: Sorry about that. Did order {ORDER} show up as pending?
C: It says {PRICE} pending since {DATE}.

A: I can take payment over the phone. Read me the sixteen digits, slowly please.
C: {CARD.1of4}
A: Mm-hm.
C: {CARD.2of4}
A: Yep.
C: {CARD.3of4}
A: Got it.
C: {CARD.4of4}
A: Lovely. Expiry, and the CVC?
C: Oh nine twenty eight, and {CVV}.

C: My AmEx got swallowed by the machine. The number's {CARD}, can you kill it?
A: I've frozen it. Your reference for this is {TICKET}.

A: Finally I need the security number on the reverse.
C: Hang on, it's worn off. I think it's {CVV}.
A: That went through, {PRICE} in total.

C: cvv is {CVV} by the way, if you need it
A: Please don't send that in chat, but thanks.

A: What's the verification code printed next to the signature?
C: That would be {CVV}.

A: For verification, what are the numbers of your social?
C: {SSN}
A: Brilliant, you're verified. The fee was {PRICE}, charged at {TIME}.

C: You've got my social wrong on the W-9, it ought to read {SSN}.
A: Corrected. It will print with tax year {YEAR}.

A: Can I take your National Insurance number?
C: Yeah, {NINO}.

C: Wire the refund to {IBAN} please, my bank says {AMOUNT} never arrived.
A: Certainly, I'll quote claim {TICKET}.

A: Where should we send the SEPA payment?
C: The IBAN reads {IBAN}.

A: What's the best way to reach you if we get cut off?
C: My cell, {PHONE}.

C: Ring me back on {PHONE} after {TIME}, I'm on shift until then.
A: Will do. I see your parcel {TRACK} left on {DATE}.

A: I've got {PHONE} on file, is that still good?
C: No, that was my ex-husband's. Use {PHONE} from now on.

C: hey can someone text me at {PHONE}? order is {ORDER}
A: Of course! It was placed on {DATE} for {PRICE}.

A: We'll mail the label to you. Which inbox?
C: {EMAIL}

C: Send the itinerary over to {EMAIL}, flight's {FLIGHT} at {TIME}.
A: Done, confirmation {CONF}.

A: Let me read that back: {EMAIL}. Is that correct?
C: Spot on.

A: And the delivery goes to?
C: {ADDRESS}
A: It should arrive by {DATE}.

C: We've moved. We're over at {ADDRESS} now, same landline.
A: Updated. Your next bill is {PRICE}.

A: Is the service address still {ADDRESS}?
C: It is, yes. We've been there since {YEAR}.

A: When were you born?
C: {DOB}

C: My daughter's date of birth is {DOB}, she's the one on the plan.
A: Thank you, she was added on {DATE}.

A: Just your birthday for security, please.
C: {DOB}.
A: And the flight you're asking about is {FLIGHT}?
C: Yes, leaving at {TIME}.

A: Could you read me your account number?
C: {ACCOUNT}

C: I'm looking at my policy, number {ACCOUNT}, and the premium jumped to {PRICE}.
A: I see it went up on {DATE}.

A: Your membership ID, if you have it to hand?
C: Let me dig it out... {ACCOUNT}.
A: Thanks. And the booking was {CONF}, right?

A: Good evening, {NAMEINTRO} here from billing, who do I have the pleasure of speaking to?
C: Yeah hi, it's {NAMEINTRO}.

A: Thanks for calling the help desk, my name's {FIRSTINTRO}, what's going on today?
C: My router model {SKU} keeps dropping since {DATE}.

A: What name is the booking under?
C: {NAMEINTRO}
A: I have you on {FLIGHT}, boarding {TIME}.

A: May I ask who's calling?
C: {NAMEINTRO}.

C: Good morning, this is {NAMEINTRO} calling about invoice {ORDER}.
A: Morning! The balance on it is {PRICE}.

A: And how do you spell your last name?
C: It's {LASTINTRO}.
A: Thanks. I found order {ORDER} from {DATE}.

A: Welcome back, {GIVENFIRST}! How's the new modem treating you?
C: It's fine, but {GIVENLAST} is misspelled on the bill.

A: I'm showing the contract holder as {GIVENNAME}.
C: Right, that's me, {GIVENFIRST}.

C: I spoke with {NAMEOTHER} last week and was promised {AMOUNT} back.
A: Let me see the notes under {TICKET}.

C: My neighbour {NAMEOTHER} signed for parcel {TRACK}, not me.
A: I understand. It was scanned at {TIME} on {DATE}.

C: Tell {NAMEOTHER} I said thanks, and that part {SKU} fits.
A: I'll pass it on!

# en 8

C: Where's my stuff? It's order {ORDER}, placed {DATE}.
A: It's with the courier. You can follow {TRACK} on their page.
C: That's been stuck since {TIME}. I paid {PRICE} for express!
A: I've opened {TICKET} for you.

C: I need two of the {SKU} and one {SKU}, how much is that?
A: Together {PRICE}, or about {AMOUNT} with shipping.

A: You're rebooked onto {FLIGHT} on {DATE}, departing {TIME}, under {CONF}.
C: So I lose {AMOUNT} on the change?
A: The fare difference is {PRICE}.

C: I've been a customer since {YEAR} and I've never waited {AMOUNT} minutes before.
A: I'm really sorry. Your case is {TICKET}.

A: The serial on the box, does it begin {SKU}?
C: It does. I bought it in {YEAR} for around {AMOUNT}.

C: Error code {SKU} pops up each time, three or four times a day.
A: Try version {SKU}, it came out on {DATE}.

A: One moment, your confirmation is {CONF}, the total is {PRICE} and the van arrives at {TIME}.
C: One two three, okay, I've written it all down.

# es 4

A: ¿Con qué tarjeta va a abonar el importe?
C: Con la Mastercard, le dicto: {CARD}
A: ¿Y los tres dígitos de detrás?
C: {CVV}

A: Dígame la numeración de su tarjeta poco a poco.
C: {CARD.1of2}
A: Ajá.
C: {CARD.2of2}
A: Estupendo.

C: Tengo problemas con el pedido {ORDER}, pagué {PRICE} el {DATE}.
A: ¿Me facilita su documento de identidad?
C: {DNI}

A: ¿A qué teléfono le podemos llamar?
C: Al {PHONE}, por las tardes.

C: Mándenme la factura a {EMAIL}, por favor.
A: Enviada. El vuelo {FLIGHT} sale a las {TIME}.

A: ¿Con quién hablo?
C: Con {NAMEINTRO}.

A: Buenas tardes, le atiende {NAMEINTRO}, ¿en qué le ayudo?
C: El seguimiento {TRACK} no avanza.

A: ¿Cuál es su fecha de nacimiento?
C: El {DOB}.

C: Vivo en {ADDRESS} y el paquete nunca llegó.
A: Ya veo, salió el {DATE}.

C: Hagan la devolución al {IBAN}, son {AMOUNT} euros.
A: Perfecto, incidencia {TICKET}.

# fr 4

A: Quel est le numéro inscrit sur votre carte bleue ?
C: Alors, {CARD}
A: Et le cryptogramme au verso ?
C: {CVV}

A: Je vous écoute pour la carte.
C: {CARD.1of2}
A: D'accord.
C: {CARD.2of2}
A: C'est noté.

C: Ma commande {ORDER} du {DATE} n'est pas arrivée, j'ai payé {PRICE}.
A: Pouvez-vous me donner votre numéro de sécu ?
C: {NIR}

A: À quel numéro peut-on vous joindre ?
C: Au {PHONE}.

C: Écrivez-moi à {EMAIL}, merci.
A: C'est fait, le dossier est {TICKET}.

A: C'est à quel nom ?
C: {NAMEINTRO}.

A: Bonjour, {NAMEINTRO} à votre service.
C: Bonjour, je voudrais suivre le colis {TRACK}.

C: Je suis né le {DOB}, c'est mal saisi chez vous.
A: Corrigé. Le vol {FLIGHT} part à {TIME}.

C: J'habite {ADDRESS} depuis {YEAR}.
A: Très bien.

C: Voici mon RIB : {IBAN}, remboursez-moi les {AMOUNT} euros.
A: Bien reçu.

# de 4

A: Wie lautet die Nummer Ihrer Kreditkarte?
C: Moment, {CARD}
A: Und die Prüfziffer hinten drauf?
C: {CVV}

C: Die Bestellung {ORDER} vom {DATE} fehlt, ich habe {PRICE} bezahlt.
A: Nennen Sie mir bitte Ihre Steuernummer, also die elfstellige ID.
C: {STEUER}

A: Unter welcher Nummer erreichen wir Sie?
C: Unter {PHONE}, ab {TIME}.

C: Schicken Sie es an {EMAIL}, bitte.
A: Erledigt, Vorgang {TICKET}.

A: Mit wem spreche ich?
C: {NAMEINTRO}.

A: Schönen guten Tag, Sie sprechen mit {NAMEINTRO}.
C: Tag, es geht um die Sendung {TRACK}.

A: Wann sind Sie geboren?
C: Am {DOB}.

C: Meine Anschrift ist {ADDRESS}, seit {YEAR}.
A: Danke, der Techniker kommt am {DATE} um {TIME}.

C: Überweisen Sie die {AMOUNT} Euro auf {IBAN}.
A: Mache ich.

# zh 3

A: 请提供一下您的银行卡号。
C: 好的，{CARD}
A: 卡背面的安全码是多少？
C: {CVV}

C: 我的订单{ORDER}还没到，我付了{PRICE}。
A: 麻烦报一下您的身份证。
C: {RESIDENT}

A: 您的联系电话是多少？
C: {PHONE}

C: 我的邮箱是{EMAIL}，请把发票发过来。
A: 好的，工单号{TICKET}。

A: 请问您贵姓？
C: 我姓{LASTINTRO}。

A: 您好，请问怎么称呼？
C: 我是{NAMEINTRO}。

C: 请寄到{ADDRESS}。
A: 好的，预计{DATE}送达。

# pt 3

A: Me informa o seu CPF, por favor?
C: {CPF}
A: Obrigado. O pedido {ORDER} saiu no dia {DATE}.
"""
