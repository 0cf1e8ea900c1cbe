"""transformers' Trainer on a causal language model with LoRA: bf16, accumulation, checkpointing, evaluation.

The model is made from a config, and the tokens are drawn, so that nothing is downloaded.
"""

import argparse
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, Trainer, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--per_device_train_batch_size", type=int, default=4)
parser.add_argument("--seq", type=int, default=64)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--full", action="store_true", help="train all weights")
arguments = parser.parse_args()


class Tokens(Dataset):
    """Rows of drawn tokens, each the same whenever it is asked for."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        drawn = torch.Generator().manual_seed(index)
        tokens = torch.randint(0, 1000, (arguments.seq,), generator=drawn)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens.clone()}


config = LlamaConfig(
    hidden_size=arguments.hidden,
    intermediate_size=arguments.hidden * 11 // 4,
    num_hidden_layers=arguments.layers,
    num_attention_heads=max(1, arguments.hidden // 128),
    vocab_size=1000 if arguments.hidden < 1024 else 32000,
)
model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
if not arguments.full:
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))

Trainer(
    model,
    TrainingArguments(
        tempfile.mkdtemp(),
        per_device_train_batch_size=arguments.per_device_train_batch_size,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        bf16=True,
        max_steps=4,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="no",
        report_to=[],
    ),
    train_dataset=Tokens(),
    eval_dataset=Tokens(),
).train()
