"""SmolLM2's GGUF as a folder of weights in bf16 and a tokenizer.

python benchmarks/gguf_weights.py GGUF FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Convert, after a look at what the model writes."""
    gguf, folder = map(Path, sys.argv[1:])
    of = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **of)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **of)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    print(tokenizer.decode(model.generate(**prompt, max_new_tokens=5, do_sample=False)[0]))
    config = model.config
    config.dtype = "bfloat16"
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    plain.load_state_dict({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
