"""Where the customer is on the journey (type), and what this contact is in it (role)."""

from itertools import product

from mlx_cc.metrics import accuracy, macro_f1, on
from mlx_cc.tasks import Part, Task, most_common, read_class

ORDER = 5


def write(value, centre):
    return f"{value['type']}, {value['contact_role']}"


def parse(text, centre):
    kind, _, role = text.strip().partition(", ")
    if kind not in centre.journeys or role not in centre.contact_roles:
        raise ValueError(f"'{text.strip()}' is not a journey type and contact role")
    return {"type": kind, "contact_role": role}


def fault(value, centre, turns):
    if not isinstance(value, dict) or {"type", "contact_role"} - value.keys():
        return f"{value!r} lacks type or contact_role"
    if value["type"] not in centre.journeys:
        return f"'{value['type']}' is not one of the journey types ({', '.join(centre.journeys)})"
    if value["contact_role"] not in centre.contact_roles:
        return f"'{value['contact_role']}' is not one of the contact roles ({', '.join(centre.contact_roles)})"
    return None


def read(distribution, centre):
    """The most probable type and, apart from it, the most probable role: each from its marginal."""
    types: dict[str, float] = dict.fromkeys(centre.journeys, 0.0)
    roles: dict[str, float] = dict.fromkeys(centre.contact_roles, 0.0)
    for text, p in distribution.items():
        value = parse(text, centre)
        types[value["type"]] += p
        roles[value["contact_role"]] += p
    kind, role = max(types, key=types.__getitem__), max(roles, key=roles.__getitem__)
    return read_class(distribution, {"type": kind, "contact_role": role}, types[kind])


def constant(values):
    return {key: most_common([value[key] for value in values]) for key in ("type", "contact_role")}


TASK = Task(
    name="journey",
    words="journey",
    keys=("journey", "journey_type"),
    more_keys=("contact_role",),
    value=lambda given: given if isinstance(given, dict) else {"type": given},
    question=lambda centre: (
        f"Which journey type is this ({', '.join(centre.journeys)}), and which contact role "
        f"({', '.join(centre.contact_roles)})? Answer with: type, role."
    ),
    brief="Which journey type and which contact role is this? Answer with: type, role.",
    write=write,
    parse=parse,
    fault=fault,
    metrics={
        "macro-F1": on(lambda value: value["type"], macro_f1),
        "accuracy": on(lambda value: value["type"], accuracy),
        "role accuracy": on(lambda value: value["contact_role"], accuracy),
    },
    constant=constant,
    answers=lambda centre: tuple(f"{kind}, {role}" for kind, role in product(centre.journeys, centre.contact_roles)),
    read=read,
    parts=(
        Part("journey_type", lambda answer: answer.value.get("type"), column="journey_type"),
        Part("contact_role", lambda answer: answer.value.get("contact_role"), column="contact_role"),
    ),
    decision=lambda value, centre: value["type"],
)
