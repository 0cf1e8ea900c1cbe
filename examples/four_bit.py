"""QLoRA: a base in 4 bits by bitsandbytes' config, read from a folder, and LoRA trained on it.

The folder is made here, so that nothing is downloaded: give another one, or a hub id that is cached.
"""

import argparse
import tempfile

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--batch-size", type=int, default=2)
parser.add_argument("--seq", type=int, default=64)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--layers", type=int, default=2)
arguments = parser.parse_args()


def made() -> str:
    """Return a folder with a small model."""
    folder = tempfile.mkdtemp()
    config = LlamaConfig(
        hidden_size=arguments.hidden,
        intermediate_size=arguments.hidden * 3,
        num_hidden_layers=arguments.layers,
        num_attention_heads=max(2, arguments.hidden // 128),
        vocab_size=1000,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


model = AutoModelForCausalLM.from_pretrained(
    arguments.model or made(),
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    ),
    dtype=torch.bfloat16,
    device_map={"": 0},
)
model = prepare_model_for_kbit_training(model)
model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-4)

for step in range(4):
    tokens = torch.randint(0, 1000, (arguments.batch_size, arguments.seq)).to("cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(step, loss.item())
