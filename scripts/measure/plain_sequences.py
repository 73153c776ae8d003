"""Models of sequences as one writes them with torch, for digits read row by row."""

import torch
from torch import Tensor, nn

WIDTH, ROW, ROWS, CLASSES = 32, 8, 8, 10


class LayerNormLSTM(nn.Module):
    """An LSTM with layer norm in its cell (Ba, Kiros & Hinton 2016): torch's own takes no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.recurrent = nn.Linear(ROW, 4 * WIDTH, bias=False), nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.input_norm, self.recurrent_norm = nn.LayerNorm(4 * WIDTH), nn.LayerNorm(4 * WIDTH)
        self.cell_norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 1, 8, 8) to logits."""
        rows = self.input_norm(self.input(images[:, 0]))
        h = c = rows.new_zeros(len(rows), WIDTH)
        for row in rows.unbind(1):
            i, f, g, o = (row + self.recurrent_norm(self.recurrent(h))).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.cell_norm(c))
        logits: Tensor = self.head(h)
        return logits


class Encoder(nn.Module):
    """Two of torch's encoder layers with the norm first, a last norm, and the mean over rows."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Linear(ROW, WIDTH), nn.Parameter(torch.randn(ROWS, WIDTH) / 2)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 1, 8, 8) to logits."""
        logits: Tensor = self.head(self.layers(self.embedding(images[:, 0]) + self.positions).mean(1))
        return logits
