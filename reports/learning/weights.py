"""SmolLM2's GGUF as a folder of bf16 weights and a tokenizer: python smol.py GGUF OUT; MiniLM's folder likewise."""
import sys, os, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, AutoConfig
from safetensors.torch import save_file
gguf, out = sys.argv[1:]
f, g = os.path.split(gguf)
tok = AutoTokenizer.from_pretrained(f, gguf_file=g)
m = AutoModelForCausalLM.from_pretrained(f, gguf_file=g, dtype=torch.float32)
i = tok("The capital of France is", return_tensors="pt")
print(tok.decode(m.generate(**i, max_new_tokens=5, do_sample=False)[0]))
config = m.config; config.dtype = "bfloat16"
if hasattr(config, "quantization_config"): del config.quantization_config
fresh = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
fresh.load_state_dict({k: v.to(torch.bfloat16) for k, v in m.state_dict().items()})
fresh.save_pretrained(out); tok.save_pretrained(out)
