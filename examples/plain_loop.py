"""A training loop of plain PyTorch with mixed precision and gradient clipping, on made-up data."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--width", type=int, default=512)
arguments = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
model = nn.Sequential(nn.Linear(64, arguments.width), nn.GELU(), nn.Linear(arguments.width, 10)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler(device)
data = TensorDataset(torch.randn(4096, 64), torch.randint(0, 10, (4096,)))
loader = DataLoader(data, batch_size=arguments.batch_size, shuffle=True, drop_last=True, pin_memory=True)

total = 0.0
for step, (features, labels) in enumerate(loader, start=1):
    features, labels = features.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    with torch.amp.autocast(device, dtype=torch.float16):
        loss = nn.functional.cross_entropy(model(features), labels)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    total += loss.item()
    print(f"step {step}: loss {loss.item():.3f}, mean {total / step:.3f}")
