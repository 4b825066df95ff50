"""Which layers of a model are trained: LoRA adapters on its projections, or the layers themselves."""

import logging
from collections.abc import Sequence
from typing import Any

import mlx.nn as nn

from mlx_cc.errors import UserError
from mlx_cc.train.settings import Lora


def add_adapters(model: Any, lora: Lora) -> dict[str, Any]:
    """Freeze the model, add LoRA layers, and return the `adapter_config.json` entries that describe them.

    Logs a target that only some of the adapted layers have.

    Raises:
        UserError: none of the target modules exists in the model, or one of them can't be adapted.
    """
    from mlx_lm.tuner.utils import linear_to_lora_layers

    layers = len(model.layers) if lora.num_layers == -1 else min(lora.num_layers, len(model.layers))
    if not lora.enabled:
        model.freeze()
        for layer in model.layers[-layers:]:
            layer.unfreeze()
        return {"fine_tune_type": "full", "num_layers": layers}
    keys = _target_keys(model.layers[-layers:], lora)
    model.freeze()
    config = {"rank": lora.r, "scale": lora.lora_alpha / lora.r, "dropout": lora.lora_dropout, "keys": keys}
    try:
        linear_to_lora_layers(model, layers, config, use_dora=lora.type == "dora")
    except ValueError as fault:
        raise UserError(f"lora: {fault}. Leave it out of lora.target_modules, or set `lora.type: lora`.") from fault
    return {"fine_tune_type": lora.type, "num_layers": layers, "lora_parameters": config}


def _target_keys(layers: Sequence[nn.Module], lora: Lora) -> list[str]:
    """The names, within a layer, of all modules to adapt."""
    from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

    linear = (nn.Linear, nn.QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)
    names = [[name for name, module in layer.named_modules() if isinstance(module, linear)] for layer in layers]
    ends = [{name.rsplit(".", 1)[-1] for name in of_layer} for of_layer in names]
    counts = {target: sum(target in of_layer for of_layer in ends) for target in lora.target_modules}
    others = ", ".join(sorted(set().union(*ends) - {*lora.target_modules}))
    if not any(counts.values()):
        raise UserError(f"lora.target_modules: the model has none of {', '.join(counts)}. It has {others}.")
    if partly := [f"{target} is in {count}" for target, count in counts.items() if count < len(layers)]:
        rest = f" They also have {others}." if others else ""
        text = "lora.target_modules: of %d adapted layers, %s.%s"
        logging.getLogger(__name__).warning(text, len(layers), ", ".join(partly), rest)
    return list(dict.fromkeys(n for of_layer in names for n in of_layer if n.rsplit(".", 1)[-1] in lora.target_modules))
