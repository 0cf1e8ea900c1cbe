"""PEFT's LoRA-FA: its optimizer freezes each adapter's A, in a loop of plain PyTorch."""

import argparse

import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer
from transformers import AutoModelForCausalLM, LlamaConfig, get_cosine_schedule_with_warmup

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=2)
parser.add_argument("--seq", type=int, default=64)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--layers", type=int, default=2)
arguments = parser.parse_args()

config = LlamaConfig(
    hidden_size=arguments.hidden,
    intermediate_size=arguments.hidden * 11 // 4,
    num_hidden_layers=arguments.layers,
    num_attention_heads=max(2, arguments.hidden // 128),
    vocab_size=1000,
)
model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
model = get_peft_model(
    model, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
)
model.to("cuda")
optimizer = create_lorafa_optimizer(model, r=16, lora_alpha=16, lr=1e-4)
schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=1, num_training_steps=4)

for step in range(4):
    tokens = torch.randint(0, 1000, (arguments.batch_size, arguments.seq), device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    print(step, loss.item())
