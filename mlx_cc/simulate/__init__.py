"""Simulated conversations with known ground truth, as many as needed.

    world = World(Parameters(conversations=5397, agents=1007, seed=0))
    write_conversations("data/simulated.jsonl", simulate(world))
    write_json("data/truth.json", world.truth())

Every label has the source `simulated`. `world.py` has the latent state, `transcript.py` the text,
`world.yaml` the centre, `phrases.yaml` the phrases.
"""

from collections.abc import Iterator
from random import Random

from mlx_cc.conversation import Conversation, Label
from mlx_cc.simulate.transcript import Transcript, TranscriptWriter, load_phrases
from mlx_cc.simulate.world import Contact, Parameters, World

__all__ = ["Parameters", "World", "simulate"]


def simulate(world: World) -> Iterator[Conversation]:
    """All conversations of a world, in order of time; the same world gives the same ones every time."""
    writer = TranscriptWriter(load_phrases(), world.parameters.turns)
    random = Random(world.text_seed)
    for contact in world.contacts():
        yield _conversation(contact, writer.write(contact, random))


def _conversation(contact: Contact, transcript: Transcript) -> Conversation:
    empathy, technical, communication = contact.scores
    values = {
        "quality": {"score": contact.quality},
        "csat": contact.csat,
        "issue": contact.issue,
        "churn": contact.churn,
        "journey": {"type": contact.journey, "contact_role": contact.role},
        "coaching": transcript.coaching,
        "resolution": contact.resolution,
        "empathy": empathy,
        "technical_skill": technical,
        "communication": communication,
    }
    previous = contact.previous
    return Conversation(
        id=contact.id,
        turns=transcript.turns,
        platform="simulated",
        channel="voice" if contact.voice else "chat",
        language="en",
        customer_id=f"cust_{contact.customer_number:06d}",
        agents=(contact.agent.id,),
        team=contact.agent.team,
        queue=contact.queue,
        started_at=contact.at,
        timezone=contact.site.timezone,
        country=contact.site.country,
        queue_wait_s=contact.wait_s,
        hold_s=transcript.hold_s,
        handle_time_s=transcript.handle_time_s,
        previous_contact_id=None if previous is None else previous.id,
        is_followup=previous is not None,
        labels={name: Label(value=value, source="simulated") for name, value in values.items()},
    )
