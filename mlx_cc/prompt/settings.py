"""Settings of the prompt; a file of them travels with every tuned model."""

from typing import Annotated

from msgspec import Meta, Struct


class PromptSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a conversation goes into the trunk."""

    facts: Annotated[bool, Meta(description="Put channel, queue, wait and local time before the transcript.")] = True
    customer_turns: Annotated[
        int, Meta(ge=0, description="Show only the customer's first N turns; 0 shows the whole transcript.")
    ] = 0
    list_answers: Annotated[
        bool, Meta(description="Name every allowed answer in the question; a tuned model can do without.")
    ] = True
