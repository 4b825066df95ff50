"""The phrasing that the rules of redaction were tuned on; slots are explained in `redaction_sets.py`."""

FIRST = {
    "en": "Jane Michael Sarah David Emily Robert Ashley James Linda Kevin Maria Thomas Nancy Brian Karen Jason",
    "es": "Carlos Lucía Javier Carmen Miguel Elena Pablo Marta",
    "fr": "Camille Julien Sophie Nicolas Claire Antoine Hélène Luc",
    "de": "Sabine Jürgen Petra Stefan Monika Andreas Claudia Uwe",
    "zh": "伟 芳 秀英 建国 丽 明",
}
LAST = {
    "en": "Doe Smith Johnson Garcia Miller Thompson Nguyen O'Brien Patel Kim Anderson Walker",
    "es": "García López Fernández Ruiz Moreno Torres",
    "fr": "Dupont Martin Bernard Petit Moreau Girard",
    "de": "Müller Schmidt Weber Fischer Becker Schulz",
    "zh": "王 李 张 刘 陈 杨",
}
STREETS = {
    "en": "Evergreen Terrace|Main Street|Oak Avenue|Sunset Blvd|Maple Drive|Church Road|King Street|N Elm St|Park Place|Cedar Lane",
    "es": "Calle Gran Vía|Avenida de América|Plaza de España|Calle del Sol",
    "fr": "rue de la Paix|avenue des Champs|place de la Mairie|chemin Vert",
    "de": "Bahnhofstraße|Schillerplatz|Berliner Allee|Gartenweg",
    "zh": "人民路|解放大道|北京东路|长安街",
}
TOWNS = {
    "en": "Springfield IL|Portland OR|Leeds|Austin TX|Tampa FL|Bristol",
    "es": "Madrid|Sevilla|Bilbao",
    "fr": "Lyon|Toulouse|Lille",
    "de": "Hamburg|Köln|Leipzig",
    "zh": "北京市|上海市|广州市",
}
MAILS = "example.com|mail.org|inbox.net|correo.es|webpost.de"

CONVERSATIONS = """
# en 4

A: Can I have the card number please?
C: It's {CARD}.
A: And the security code on the back?
C: {CVV}

A: What's your credit card number?
C: {CARD.1of2}
A: okay
C: {CARD.2of2}
A: and the three digits on the back?
C: it's {CVV}

A: What's the expiry date and the CVV?
C: 04/29 and {CVV}

C: My card is {CARD} and the CVV is {CVV}.
A: Thank you, your order {ORDER} for {PRICE} is paid.

A: Please read me your debit card number in groups of four.
C: {CARD.1of4}
A: {CARD.1of4}, go on.
C: {CARD.2of4}
A: okay
C: {CARD.3of4}
A: mm-hm
C: {CARD.4of4}
A: Expiration date?
C: 04/29

C: I'd like to pay by card, {CARD}, expires 11/27, security code {CVV}.

A: Could you give me the cvc?
C: sure, {CVV}
A: Thanks, that's {PRICE}.

A: For security, may I have your social security number?
C: {SSN}
A: Thank you. You called on {DATE} at {TIME}.

C: My SSN is {SSN}.

A: And your National Insurance number, please, and the claim it's about?
C: {NINO}, and the claim is {TICKET}.

A: Can you verify the last four of your social? And the phone number on the account?
C: {PHONE}
A: Thank you. That was {PRICE} on {DATE}.

A: What is your national insurance number?
C: It's {NINO}

C: Please refund to my bank account, IBAN {IBAN}.

C: You can call me at {PHONE}.
A: Sure. Is {PHONE} your mobile?

A: What's your phone number?
C: {PHONE}
A: And the order number?
C: {ORDER}

A: What's your email address?
C: {EMAIL}

C: My email is {EMAIL}, please send the receipt for {PRICE}.

A: Can you confirm your address?
C: {ADDRESS}

C: I live at {ADDRESS}.
A: Thank you. Your technician comes on {DATE} at {TIME}.

C: Please ship it to {ADDRESS}.
A: Shipped under tracking number {TRACK}.

A: What is your date of birth?
C: {DOB}

C: I was born on {DOB}.
A: And you travel on {DATE} with {FLIGHT}?

A: Can I have your account number?
C: {ACCOUNT}

C: My account number is {ACCOUNT} and my order number is {ORDER}.

C: The policy number is {ACCOUNT}.
A: And the claim from {DATE}, case {TICKET}?

C: My member id is {ACCOUNT}.

A: Thank you for calling Acme, my name is {FIRSTINTRO}. Can I have your name?
C: {NAMEINTRO}

A: Hi, this is {FIRSTINTRO} speaking, how can I help?
C: Hi {GIVENFIRST} here, my order {ORDER} is late.

A: You're speaking with {FIRSTINTRO}, who am I speaking with?
C: This is {NAMEINTRO}.

C: Hi, my name is {NAMEINTRO} and I'm calling about order {ORDER}.

A: I'm {FIRSTINTRO} and I'll be helping you today. May I have your full name?
C: Sure, it's {NAMEINTRO}.

C: I'm {NAMEINTRO}, I need help with flight {FLIGHT} on {DATE}.

A: Thank you, {GIVENFIRST}. Is {GIVENNAME} the name on the account?
C: Yes, Mrs. {GIVENLAST}.

C: My husband {NAMEOTHER} ordered it on {DATE}.
A: I see order {ORDER}.

C: Mr. {LASTINTRO} from your store told me it costs {PRICE}.

# en 6

C: My order number is {ORDER} and the tracking number is {TRACK}.
A: It ships on {DATE} at {TIME} and costs {PRICE}.

C: I bought model {SKU} in {YEAR} for {PRICE}.
A: The confirmation number is {CONF}, ticket {TICKET}.

A: Your flight {FLIGHT} leaves on {DATE} at {TIME}, confirmation {CONF}.
C: It costs {AMOUNT} dollars more than in {YEAR}.

A: What is your order number?
C: {ORDER}
A: Thanks. And the reference?
C: {TICKET}

A: Do you have the tracking number?
C: Yes, {TRACK}.

C: I waited {AMOUNT} minutes, since {TIME}.
A: I can offer {PRICE} off item {SKU}.

A: What's the model number?
C: {SKU}
A: I can send someone on {DATE} between {TIME} and {TIME}.

# es 3

A: ¿Me da el número de su tarjeta?
C: Sí, es {CARD}
A: ¿Y el código de seguridad?
C: {CVV}

A: ¿Número de tarjeta?
C: {CARD.1of2}
A: vale
C: {CARD.2of2}

C: Mi DNI es {DNI} y mi pedido es el {ORDER}.

C: Mi teléfono es el {PHONE}.
A: ¿Y su correo electrónico?
C: {EMAIL}

C: Me llamo {NAMEINTRO}, quiero cambiar el vuelo {FLIGHT} del {DATE}.

A: ¿Me dice su nombre?
C: {NAMEINTRO}

C: Nací el {DOB}.

C: Mi dirección es {ADDRESS}.
A: Serán {PRICE}, llega el {DATE} a las {TIME}.

C: Mi número de cuenta es {IBAN}.

A: ¿Su DNI, por favor?
C: {DNI}
A: Gracias. El pedido {ORDER} sale el {DATE}.

A: ¿Su número de teléfono?
C: Es el {PHONE}
A: ¿Y el código de referencia?
C: {TICKET}

# fr 3

A: Votre numéro de carte s'il vous plaît ?
C: {CARD}
A: Et le code de sécurité ?
C: {CVV}

A: Le numéro de la carte ?
C: {CARD.1of2}
A: oui
C: {CARD.2of2}

C: Mon numéro de sécurité sociale est {NIR}, ma commande est {ORDER}.

C: Mon téléphone est le {PHONE}.
A: Et votre adresse e-mail ?
C: {EMAIL}

C: Bonjour, je m'appelle {NAMEINTRO}, je vous appelle pour la commande {ORDER}.

A: Votre nom s'il vous plaît ?
C: {NAMEINTRO}

A: Votre date de naissance ?
C: {DOB}

C: Mon adresse est {ADDRESS}.
A: Livraison le {DATE} à {TIME}, {PRICE}.

C: Mon IBAN est {IBAN}.

A: Votre numéro de sécurité sociale ?
C: Oui, c'est le {NIR}
A: Merci, le colis {TRACK} arrive le {DATE}.

A: Votre numéro de téléphone ?
C: C'est le {PHONE}
A: Et le numéro de dossier ?
C: {TICKET}

# de 3

A: Ihre Kartennummer bitte?
C: {CARD}
A: Und der Sicherheitscode?
C: {CVV}

C: Meine Steuer-ID ist {STEUER}, die Bestellnummer {ORDER}.

C: Meine Telefonnummer ist {PHONE}.
A: Und Ihre E-Mail-Adresse?
C: {EMAIL}

C: Ich heiße {NAMEINTRO}, es geht um den Flug {FLIGHT} am {DATE}.

A: Wie ist Ihr Name?
C: {NAMEINTRO}

A: Ihr Geburtsdatum?
C: {DOB}

C: Ich wohne in der {ADDRESS}.
A: Das macht {PRICE}, Lieferung am {DATE} um {TIME}.

C: Meine IBAN ist {IBAN}.

A: Ihre Steuer-Identifikationsnummer?
C: Die lautet {STEUER}
A: Danke, die Sendung {TRACK} kommt am {DATE}.

A: Ihre Rückrufnummer bitte?
C: Ja, {PHONE}
A: Und die Auftragsnummer?
C: {TICKET}

# zh 3

A: 请告诉我您的卡号。
C: {CARD}
A: 安全码呢？
C: {CVV}

C: 我的身份证号是{RESIDENT}，订单号是{ORDER}。

C: 我的电话是{PHONE}。
A: 您的邮箱？
C: {EMAIL}

C: 我叫{NAMEINTRO}，我想查一下{DATE}的订单{ORDER}。

A: 您的身份证号码是多少？
C: {RESIDENT}
A: 好的，订单{ORDER}{DATE}发货。

A: 您的手机号？
C: {PHONE}

A: 您的名字？
C: {NAMEINTRO}

C: 我的地址是{ADDRESS}。
A: 一共{PRICE}，{DATE}{TIME}送到。

# pt 3

C: Meu CPF é {CPF} e o pedido é {ORDER}.

A: Qual é o seu CPF?
C: É {CPF}

A: Seu telefone é {PHONE}?
C: Sim.
"""
