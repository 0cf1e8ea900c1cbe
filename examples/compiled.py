"""A loop whose model is compiled."""

import torch
from torch import nn

model = nn.TransformerEncoderLayer(d_model=64, nhead=4, batch_first=True).cuda()
compiled = torch.compile(model)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
for _ in range(4):
    loss = compiled(torch.randn(4, 32, 64, device="cuda")).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
