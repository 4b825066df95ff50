"""Labelled conversations for measuring redaction: two sets of phrasing, values made up by this file.

    rows = conversations("heldout", rounds=3, seed=0)

Half of the conversations of a set are written, half are as speech recognition writes them:
lower-cased, unpunctuated, numbers often in words. Slots of a template: `{CARD}` is a value to
be found, `{CARD.1of2}` a piece of one; `{ORDER}` and its like are values that must stay.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from mlx_cc.conversation import Conversation, Turn
from tests import redaction_heldout, redaction_tuning

SETS = {"tuning": redaction_tuning, "heldout": redaction_heldout}

NEGATIVES = {"ORDER", "TRACK", "PRICE", "DATE", "TIME", "FLIGHT", "SKU", "YEAR", "AMOUNT", "TICKET", "CONF"}
KIND = {"NINO": "NATIONAL_ID", "DNI": "NATIONAL_ID", "NIR": "NATIONAL_ID", "STEUER": "NATIONAL_ID"}
KIND |= {"RESIDENT": "NATIONAL_ID", "CPF": "NATIONAL_ID"}
KIND |= {name: "NAME introduced" for name in ("NAMEINTRO", "FIRSTINTRO", "LASTINTRO")}
KIND |= {name: "NAME in metadata" for name in ("GIVENNAME", "GIVENFIRST", "GIVENLAST")}
KIND |= {"NAMEOTHER": "NAME only mentioned"}
"""Slot -> the row it is counted in, where that is not its own name."""


class Piece(NamedTuple):
    turn: int
    start: int
    end: int


@dataclass(frozen=True)
class Entity:
    """A value in the conversation; `kind` is a placeholder's type, or a slot of NEGATIVES."""

    kind: str
    pieces: tuple[Piece, ...]

    @property
    def sensitive(self) -> bool:
        return self.kind not in NEGATIVES


@dataclass(frozen=True)
class Labelled:
    conversation: Conversation
    names: tuple[str, ...]
    entities: tuple[Entity, ...]
    spoken: bool


# Numbers in words


def _by_language(**words: str) -> dict[str, list[str]]:
    return {language: text.split() for language, text in words.items()}


UNITS = _by_language(
    en="zero one two three four five six seven eight nine",
    es="cero uno dos tres cuatro cinco seis siete ocho nueve",
    fr="zéro un deux trois quatre cinq six sept huit neuf",
    de="null eins zwei drei vier fünf sechs sieben acht neun",
    pt="zero um dois três quatro cinco seis sete oito nove",
) | {"zh": list("零一二三四五六七八九")}
TEENS = _by_language(
    en="ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    es="diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    fr="dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf",
    de="zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
)
TENS = _by_language(
    en="twenty thirty forty fifty sixty seventy eighty ninety",
    es="veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    fr="vingt trente quarante cinquante soixante",
    de="zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
)
MONTHS = _by_language(
    en="January February March April May June July August September October November December",
    es="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    fr="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    de="Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    pt="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
)
ORDINALS = _by_language(
    en="first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)["en"]


def words(number: int, language: str) -> str:
    """A number below 100 in words."""
    units, teens, tens = UNITS[language], TEENS.get(language, []), TENS.get(language, [])
    if number < 10:
        return units[number]
    if number < 20:
        return teens[number - 10]
    ten, unit = divmod(number, 10)
    if language == "fr":
        if ten >= 7:
            base, rest = ("soixante", number - 60) if ten == 7 else ("quatre-vingt", number - 80)
            return base + ("s" if number == 80 else "-" + words(rest, "fr"))
        return tens[ten - 2] + (" et un" if unit == 1 else f"-{units[unit]}" if unit else "")
    if not unit:
        return tens[ten - 2]
    if language == "de":
        return ("ein" if unit == 1 else units[unit]) + "und" + tens[ten - 2]
    if language == "es":
        return f"veinti{units[unit]}" if ten == 2 else f"{tens[ten - 2]} y {units[unit]}"
    return f"{tens[ten - 2]} {units[unit]}"


def ordinal(day: int) -> str:
    if day <= 20:
        return ORDINALS[day - 1]
    return {30: "thirtieth"}.get(day) or f"{words(day - day % 10, 'en')} {ORDINALS[day % 10 - 1]}"


def year_words(year: int) -> str:
    if 2000 <= year < 2010:
        return "two thousand" + (f" {words(year - 2000, 'en')}" if year > 2000 else "")
    return (
        f"{words(year // 100, 'en')} {words(year % 100, 'en')}"
        if year % 100 > 9
        else f"{words(year // 100, 'en')} oh five"
    )


def say(digits: str, language: str, random: Random, pairs: bool | None = None) -> str:
    """Digits as they are spoken: one by one, with doubles, or in pairs."""
    if language == "zh":
        return "".join("幺" if d == "1" and random.random() < 0.5 else UNITS["zh"][int(d)] for d in digits)
    if pairs is None:
        pairs = language in TEENS and random.random() < 0.3
    said, at = [], 0
    while at < len(digits):
        two = digits[at : at + 2]
        if pairs and len(two) == 2 and two[0] != "0":
            said.append(words(int(two), language))
            at += 2
        elif len(two) == 2 and two[0] == two[1] and language in ("en", "es", "fr") and random.random() < 0.3:
            said.append({"en": "double", "es": "doble", "fr": "double"}[language] + " " + words(int(two[0]), language))
            at += 2
        else:
            zero = "oh" if language == "en" and digits[at] == "0" and random.random() < 0.4 else None
            said.append(zero or words(int(digits[at]), language))
            at += 1
    return " ".join(said)


# Values


def some(random: Random, count: int) -> str:
    return "".join(str(random.randrange(10)) for _ in range(count))


def luhn(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def card(random: Random) -> list[str]:
    """A card number in its printed groups."""
    brand = random.choice(["visa", "visa", "mastercard", "mastercard", "amex", "discover"])
    if brand == "amex":
        number = luhn(random.choice(["34", "37"]) + some(random, 12))
        return [number[:4], number[4:10], number[10:]]
    start = {"visa": "4", "mastercard": f"5{random.randint(1, 5)}", "discover": "6011"}[brand]
    number = luhn(start + some(random, 15 - len(start)))
    return [number[at : at + 4] for at in range(0, 16, 4)]


def mod97(country: str, account: str) -> str:
    digits = "".join(str(int(letter, 36)) for letter in account + country + "00")
    return f"{country}{98 - int(digits) % 97:02d}{account}"


def iban(random: Random, language: str) -> str:
    country = {"en": "GB", "es": "ES", "fr": "FR", "de": "DE"}[language]
    account = {"GB": "NWBK" + some(random, 14), "ES": some(random, 20), "FR": some(random, 23), "DE": some(random, 18)}
    if country == "ES":  # the two inner check digits
        bank, number = some(random, 8), some(random, 10)
        weights = [1, 2, 4, 8, 5, 10, 9, 7, 3, 6]

        def inner(text: str) -> str:
            rest = 11 - sum(int(d) * w for d, w in zip(text, weights, strict=True)) % 11
            return str({10: 1, 11: 0}.get(rest, rest))

        return mod97("ES", bank + inner("00" + bank) + inner(number) + number)
    return mod97(country, account[country])


def national(slot: str, random: Random) -> str:
    if slot == "SSN":
        area = random.choice([n for n in range(100, 773) if n != 666])
        return f"{area}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"
    if slot == "NINO":
        return f"{random.choice('ABCEGHJKLMPRSTWXYZ')}{random.choice('ABCEGHJKLMPRSTWXYZ')} {some(random, 2)} {some(random, 2)} {some(random, 2)} {random.choice('ABCD')}"
    if slot == "DNI":
        number = some(random, 8)
        return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]
    if slot == "NIR":
        number = f"{random.randint(1, 2)}{random.randint(40, 99)}{random.randint(1, 12):02d}{random.randint(10, 89)}{random.randint(1, 900):03d}{random.randint(1, 999):03d}"
        return f"{number[0]} {number[1:3]} {number[3:5]} {number[5:7]} {number[7:10]} {number[10:]} {97 - int(number) % 97:02d}"
    if slot == "STEUER":  # one digit twice, the others at most once in the first ten
        pool = random.sample(range(10), 9)
        first = pool + [random.choice(pool)]
        while True:
            random.shuffle(first)
            if first[0] and all(a != b for a, b in zip(first, first[1:], strict=False)):
                break
        product = 10
        for digit in first:
            total = (digit + product) % 10 or 10
            product = total * 2 % 11
        return "".join(map(str, first)) + str((11 - product) % 10)
    if slot == "RESIDENT":
        number = f"11010{random.randint(1, 8)}19{random.randint(50, 99)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}{some(random, 3)}"
        weights = [pow(2, 17 - place, 11) for place in range(17)]
        return number + "10X98765432"[sum(int(d) * w for d, w in zip(number, weights, strict=True)) % 11]
    number = some(random, 9)
    for length in (9, 10):
        rest = sum(int(d) * (length + 1 - place) for place, d in enumerate(number)) * 10 % 11
        number += str(rest % 10)
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


def phone(random: Random, language: str) -> str:
    if language == "en":
        area = random.choice(["212", "303", "415", "512", "617", "702", "808", "919", "206", "314"])
        number = f"{random.randint(2, 9)}{random.randint(2, 9)}{some(random, 1)}"
        last = some(random, 4)
        return random.choice(
            [
                f"({area}) {number}-{last}",
                f"{area}-{number}-{last}",
                f"+1 {area} {number} {last}",
                f"{area}.{number}.{last}",
            ]
        )
    if language == "es":
        return f"6{some(random, 2)} {some(random, 3)} {some(random, 3)}"
    if language == "fr":
        return "06 " + " ".join(f"{random.randint(10, 99)}" for _ in range(4))
    if language == "de":
        return f"0151 {random.randint(2, 9)}{some(random, 7)}"
    return f"13{random.randint(5, 9)} {some(random, 4)} {some(random, 4)}"


def fold(text: str) -> str:
    return text.lower().translate(str.maketrans("áéíóúñäöüßçèëïôâêûàùç'", "aeiounaousceeioaeuauc-")).replace("-", "")


class Draw:
    """The values of one conversation."""

    def __init__(self, random: Random, language: str, spoken: bool, lists: Any):
        self.random, self.language, self.spoken = random, language, spoken
        self.lists = lists
        speech = language if language in lists.FIRST else "es"
        self.first = random.choice(lists.FIRST[speech].split())
        self.last = random.choice(lists.LAST[speech].split())
        self.speech = speech
        self.pairs = language in TEENS and language != "pt" and random.random() < 0.3
        self.in_words = spoken and random.random() < 0.6
        self.card = card(random)

    def digits(self, number: str) -> str:
        """A number whose parts are letters and digits, in this conversation's way of writing."""
        if not self.spoken:
            return number
        parts = re.findall(r"\d+|[A-Za-z]+", number)
        if not self.in_words:
            return " ".join(parts).lower() if self.random.random() < 0.5 else "".join(parts).lower()
        joint = "" if self.language == "zh" else " "
        return joint.join(
            say(part, self.language, self.random, self.pairs) if part.isdigit() else " ".join(part.lower())
            for part in parts
        )

    def card_pieces(self, count: int) -> list[str]:
        groups = self.card
        if count == 1:
            joint = self.random.choice([" ", "-", "", " "])
            return [self.digits(joint.join(groups))]
        number = "".join(groups)
        size = -(-len(number) // count)
        return [self.digits(number[at : at + size]) for at in range(0, len(number), size)]

    def full_name(self, language: str | None = None) -> str:
        first = self.random.choice(self.lists.FIRST[self.speech].split())
        last = self.random.choice(self.lists.LAST[self.speech].split())
        return self.name(first, last)

    def name(self, first: str, last: str) -> str:
        if self.language == "zh":
            return last + first
        return f"{first} {last}".lower() if self.spoken else f"{first} {last}"

    def value(self, slot: str) -> str:
        random, language = self.random, self.language
        lower = str.lower if self.spoken else str
        if slot == "CVV":
            return self.digits(some(random, 4 if len(self.card) == 3 else 3))
        if slot in ("SSN", "NINO", "DNI", "NIR", "STEUER", "RESIDENT", "CPF"):
            return self.digits(national(slot, random))
        if slot == "IBAN":
            number = iban(random, language)
            return self.digits(" ".join(number[at : at + 4] for at in range(0, len(number), 4)))
        if slot == "PHONE":
            return self.digits(phone(random, language))
        if slot == "EMAIL":
            return self.email()
        if slot == "ADDRESS":
            return self.address()
        if slot == "DOB":
            return self.date(random.randint(1940, 2007))
        if slot == "ACCOUNT":
            return self.digits(
                random.choice(
                    [
                        some(random, 8),
                        some(random, 10),
                        f"HM-{some(random, 3)}-{some(random, 4)}",
                        "9" + some(random, 6),
                    ]
                )
            )
        if slot == "NAMEINTRO" or slot == "NAMEOTHER":
            return self.full_name()
        if slot == "FIRSTINTRO":
            return lower(random.choice(self.lists.FIRST[self.speech].split()))
        if slot == "LASTINTRO":
            return lower(random.choice(self.lists.LAST[self.speech].split()))
        if slot.startswith("GIVEN"):
            parts = {"NAME": self.name(self.first, self.last), "FIRST": lower(self.first), "LAST": lower(self.last)}
            return parts[slot[5:]]
        return self.negative(slot)

    def email(self) -> str:
        random = self.random
        local = fold(random.choice(self.lists.FIRST["en"].split()))
        local += random.choice(
            ["." + fold(random.choice(self.lists.LAST["en"].split())), some(random, 2), "_" + random.choice("abcdefgh")]
        )
        site = random.choice(self.lists.MAILS.split("|"))
        if not self.in_words or self.language == "zh":
            return f"{local}@{site}"
        at, dot, low = {
            "es": ("arroba", "punto", "guion bajo"),
            "fr": ("arobase", "point", "tiret bas"),
            "de": ("at", "punkt", "unterstrich"),
        }.get(self.language, ("at", "dot", "underscore"))
        text = re.sub(r"\d", lambda d: f" {words(int(d[0]), self.language)}", local)
        return f"{text.replace('.', f' {dot} ').replace('_', f' {low} ')} {at} {site.replace('.', f' {dot} ')}"

    def address(self) -> str:
        random, language = self.random, self.language
        street = random.choice(self.lists.STREETS[language].split("|"))
        town = random.choice(self.lists.TOWNS[language].split("|"))
        number = str(random.randint(2, 4999 if language == "en" else 180))
        if language == "zh":
            return f"{town}{street}{number}号{random.randint(1, 20)}栋{random.randint(101, 2204)}室"
        code = f"{random.randint(10000, 99899)}"
        said = self.digits(number) if self.in_words else number
        if language == "en":
            us = town[-2:].isupper()
            code = (
                code
                if us
                else f"{''.join(random.sample('BNSWL', 2))}{random.randint(1, 19)} {random.randint(1, 9)}{''.join(random.sample('ABDEFGH', 2))}"
            )
            unit = random.choice(
                ["", "", f", Apt {random.randint(1, 40)}B" if us else f", Flat {random.randint(1, 40)}"]
            )
            text = f"{said} {street}{unit}, {town} {self.digits(code) if self.in_words and us else code}"
        elif language == "fr":
            text = f"{said} {street}, {code} {town}"
        else:
            text = f"{street} {said}, {code} {town}"
        return re.sub(r"[,]", "", text).lower() if self.spoken else text

    def date(self, year: int | None) -> str:
        """A day, with its year where one is given."""
        random, language = self.random, self.language
        month, day = random.randint(1, 12), random.randint(1, 28)
        if language == "zh":
            return f"{f'{year}年' if year else ''}{month}月{day}日"
        name = MONTHS[language][month - 1]
        if self.in_words and language == "en":
            tail = f" {year_words(year)}" if year else ""
            return random.choice(
                [f"{name.lower()} {ordinal(day)}{tail}", f"the {ordinal(day)} of {name.lower()}{tail}"]
            )
        if self.in_words and language in TEENS:
            joint = " de " if language == "es" else " "
            tail = f"{joint}{words(year // 100, language)} {words(year % 100, language)}" if year else ""
            return f"{words(day, language)}{joint}{name}{tail}".lower()
        if year and not self.spoken and random.random() < 0.4:
            return {"en": f"{month:02d}/{day:02d}/{year}", "de": f"{day:02d}.{month:02d}.{year}"}.get(
                language, f"{day:02d}/{month:02d}/{year}"
            )
        text = {
            "en": random.choice([f"{name} {day}", f"{day} {name}", f"{name[:3]} {day}"]),
            "de": f"{day}. {name}",
            "fr": f"{day} {name}",
        }.get(language, f"{day} de {name}")
        text += (
            (
                f", {year}"
                if language == "en" and text[0].isalpha()
                else f" de {year}"
                if language in ("es", "pt")
                else f" {year}"
            )
            if year
            else ""
        )
        return re.sub(r"[.,]", "", text).lower() if self.spoken else text

    def negative(self, slot: str) -> str:
        random, language = self.random, self.language
        if slot == "ORDER":
            return self.digits(
                random.choice(
                    [
                        f"{some(random, 3)}-{some(random, 7)}-{some(random, 7)}",
                        "8" + some(random, 7),
                        f"A{some(random, 6)}",
                        "70" + some(random, 8),
                    ]
                )
            )
        if slot == "TRACK":
            return self.digits(
                random.choice(
                    [f"1Z{some(random, 3)}AA10{some(random, 8)}", "94001" + some(random, 17), "78" + some(random, 10)]
                )
            )
        if slot == "TICKET":
            return self.digits(
                random.choice([f"INC00{some(random, 5)}", f"CS-{some(random, 7)}", "3" + some(random, 6)])
            )
        if slot == "CONF":
            return self.digits("".join(random.choice("ABCDEFGHKLMNPQRSTXYZ23456789") for _ in range(6)))
        if slot == "FLIGHT":
            return self.digits(
                f"{random.choice(['BA', 'UA', 'IB', 'LH', 'AF', 'DL'])}{random.choice([' ', ''])}{random.randint(100, 9899)}"
            )
        if slot == "SKU":
            return self.digits(
                random.choice(
                    [
                        f"WRT-{random.randint(1000, 9900)}",
                        f"X{random.randint(10, 99)}-B",
                        f"{random.randint(100, 999)}-{random.randint(10, 99)}",
                        f"E{random.randint(100, 999)}",
                    ]
                )
            )
        if slot == "YEAR":
            year = random.randint(1998, 2025)
            return year_words(year) if self.in_words and language == "en" else str(year)
        if slot == "DATE":
            return self.date(random.choice([None, None, 2025, 2026]))
        if slot == "TIME":
            hour, minute = random.randint(1, 12), random.choice([5, 10, 15, 30, 40, 45])
            if self.in_words and language in TEENS:
                return (
                    f"{words(hour, language)} {words(minute, language)}"
                    if minute > 9 or language != "en"
                    else f"{words(hour, language)} oh five"
                )
            return f"{hour}:{minute:02d}"
        if slot == "AMOUNT":
            tens = random.choice([20, 30, 40, 50])
            if language == "zh":
                return f"{UNITS['zh'][tens // 10]}十"
            if language == "en":
                return random.choice(
                    [
                        words(tens + 5, "en"),
                        f"{words(random.randint(2, 9), 'en')} hundred",
                        f"{words(random.randint(2, 9), 'en')} hundred and {words(tens, 'en')}",
                    ]
                )
            return words(tens + random.randint(1, 9), language) if language in TEENS else "cento"
        whole, cents = random.randint(3, 1900), random.randint(10, 99)
        if self.in_words and language in TEENS:
            whole %= 100
            name = "dollars" if language == "en" else "euros"
            return f"{words(whole, language)} {name} {'y ' if language == 'es' else ''}{words(cents, language)}"
        if self.spoken:
            return f"{whole}.{cents} {'dollars' if language == 'en' else '元' if language == 'zh' else 'euros'}"
        return {"en": f"${whole:,}.{cents}", "zh": f"{whole}.{cents}元", "pt": f"R$ {whole},{cents}"}.get(
            language, f"{whole},{cents} €"
        )


# Conversations


def templates(name: str) -> Iterator[tuple[str, int, list[tuple[str, str]]]]:
    """Language, weight and the lines (role, text with slots) of every template of a set."""
    language, weight = "en", 1
    for block in SETS[name].CONVERSATIONS.strip().split("\n\n"):
        lines = []
        for line in block.splitlines():
            if line.startswith("#"):
                language, weight = line[1:].split()[0], int(line.split()[-1])
            else:
                lines.append(({"A": "agent", "C": "customer"}[line[0]], line[3:]))
        if lines:
            yield language, weight, lines


def plain(text: str) -> str:
    """The words of a template without case and punctuation, as speech recognition writes them."""
    return re.sub(r"[.,;:?!¿¡#。，？！：]", "", text).lower()


def fill(lines: list[tuple[str, str]], draw: Draw) -> tuple[list[Turn], list[Entity]]:
    turns, entities, split = [], [], {}
    for place, (role, text) in enumerate(lines):
        said = ""
        for part in re.split(r"(\{[^}]+\})", text):
            if not part.startswith("{"):
                said += plain(part) if draw.spoken else part
                continue
            slot, _, piece = part[1:-1].partition(".")
            kind = KIND.get(slot, slot)
            if piece:
                index, count = map(int, piece.split("of"))
                if slot not in split:
                    split[slot] = (draw.card_pieces(count), [])
                value = split[slot][0][index - 1]
                split[slot][1].append(Piece(place, len(said), len(said) + len(value)))
                if index == count:
                    entities.append(Entity(kind, tuple(split[slot][1])))
            else:
                value = draw.card_pieces(1)[0] if slot == "CARD" else draw.value(slot)
                entities.append(Entity(kind, (Piece(place, len(said), len(said) + len(value)),)))
            said += value
        turns.append(Turn(role=role, text=said))
    return turns, entities


def conversations(name: str, rounds: int = 2, seed: int = 0) -> list[Labelled]:
    """The labelled conversations of a set: every template `weight * rounds` times, written and spoken in turn."""
    random, rows = Random(seed), []
    for language, weight, lines in templates(name):
        for turn in range(weight * rounds):
            draw = Draw(random, language, bool(turn % 2), SETS[name])
            turns, entities = fill(lines, draw)
            country = {"es": "ES", "fr": "FR", "de": "DE", "zh": "CN", "pt": "BR"}.get(language, "US")
            conversation = Conversation(
                id=f"{name}-{len(rows)}", turns=tuple(turns), language=language, country=country
            )
            given = any("{GIVEN" in text for _, text in lines)
            names = (f"{draw.first} {draw.last}",) if given else ()
            rows.append(Labelled(conversation, names, tuple(entities), draw.spoken))
    return rows
