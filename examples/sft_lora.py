"""TRL's SFTTrainer with PEFT's LoRA on rows of different lengths, packed or not.

The model is made from a config, and the tokens are drawn, so that nothing is downloaded.
"""

import argparse
import random
import tempfile

from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("--per_device_train_batch_size", type=int, default=4)
parser.add_argument("--max_length", type=int, default=64)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--packing", action="store_true")
arguments = parser.parse_args()

words = {f"w{number}": number for number in range(990)} | {"<pad>": 990, "<eos>": 991, "<unk>": 992}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokens = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
)
drawn = random.Random(0)
rows = [" ".join(f"w{drawn.randrange(990)}" for _ in range(drawn.randint(8, 48))) for _ in range(64)]

config = LlamaConfig(
    hidden_size=arguments.hidden,
    intermediate_size=arguments.hidden * 11 // 4,
    num_hidden_layers=arguments.layers,
    num_attention_heads=max(2, arguments.hidden // 128),
    vocab_size=1000,
)
SFTTrainer(
    AutoModelForCausalLM.from_config(config),
    SFTConfig(
        tempfile.mkdtemp(),
        per_device_train_batch_size=arguments.per_device_train_batch_size,
        max_length=arguments.max_length,
        packing=arguments.packing,
        padding_free=False,
        bf16=True,
        max_steps=4,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
    ),
    train_dataset=Dataset.from_dict({"text": rows}),
    processing_class=tokens,
    peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
).train()
