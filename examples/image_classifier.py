"""A convolutional classifier of images with an evaluation after each epoch, on made-up images."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--side", type=int, default=64, help="of an image, in pixels")
arguments = parser.parse_args()

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def block(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution that halves the image."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.MaxPool2d(2))


model = nn.Sequential(block(3, 32), block(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
model.to(device, memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
images, classes = torch.randn(64, 3, arguments.side, arguments.side), torch.randint(0, 10, (64,))
loader = DataLoader(TensorDataset(images, classes), batch_size=arguments.batch_size, num_workers=0)

for epoch in range(2):
    model.train()
    for inputs, labels in loader:
        loss = nn.functional.cross_entropy(model(inputs.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    right = 0
    with torch.no_grad():
        for inputs, labels in loader:
            right += (model(inputs.to(device)).argmax(1) == labels.to(device)).sum().item()
    print(f"epoch {epoch}: {right / len(images):.1%} right")
