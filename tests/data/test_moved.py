import pytest
import torch
from torch import Tensor

from normbench.data.augmentation import Draws, augment, padding
from normbench.data.moved import KINDS, move, move_boxes

SIZE, WIDTH = 16, 24


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Pictures whose only bright rectangle is their box and the object of their mask."""
    draws = stream(1)
    low = torch.stack([torch.randint(0, side - 4, (64,), generator=draws) for side in (WIDTH, SIZE)], dim=1)
    # Some in a corner, out of which crops move them.
    low[:16] = 0
    boxes = torch.cat([low, low + torch.randint(2, 5, (64, 2), generator=draws)], dim=1)
    rows, columns = torch.arange(SIZE)[:, None], torch.arange(WIDTH)
    inside = torch.stack([(y1 <= rows) & (rows < y2) & (x1 <= columns) & (columns < x2) for x1, y1, x2, y2 in boxes])
    return {
        "images": inside[:, None].float(),
        "boxes": torch.stack([boxes, torch.zeros_like(boxes)], dim=1).float(),
        "box_labels": torch.tensor([[3, -1]]).repeat(64, 1),
        "box_ignored": torch.zeros(64, 2, dtype=torch.bool),
        "masks": inside.long(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_and_masks_show_what_the_picture_shows(batch: dict[str, Tensor], kind: str) -> None:
    """The draws are those of pictures alone; each box encloses the bright pixels that are left, as its mask does."""
    moved = move(batch, kind, stream())
    assert torch.equal(moved["images"], augment(batch["images"], kind, stream()))
    dropped = 0
    for picture, box, label, mask in zip(
        moved["images"][:, 0], moved["boxes"][:, 0], moved["box_labels"][:, 0], moved["masks"], strict=True
    ):
        assert torch.equal(mask == 1, picture == 1)
        rows, columns = picture.nonzero(as_tuple=True)
        if label == -1:
            dropped += 1
            assert box.tolist() == [0, 0, 0, 0]
        else:
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert (moved["box_labels"][:, 1] == -1).all()
    assert (dropped > 0) == ("crop" in kind)


def test_mask_pixels_from_outside_count_nowhere(batch: dict[str, Tensor]) -> None:
    """They are where the picture of ones gets its zeros."""
    whole = {**batch, "images": torch.ones_like(batch["images"]), "masks": torch.zeros_like(batch["masks"])}
    moved = move(whole, "crop", stream())
    assert torch.equal(moved["masks"] == 255, moved["images"][:, 0] == 0)
    assert set(moved["masks"].flatten().tolist()) == {0, 255}


@pytest.mark.parametrize(("columns", "label"), [(3, 5), (4, -1)], ids=["a quarter stays", "less stays"])
def test_a_box_that_is_almost_gone_is_dropped(columns: int, label: int) -> None:
    """A quarter of its area is enough."""
    pad = padding(32)
    draws = Draws(torch.tensor([[pad, pad + columns]]), torch.tensor([False]))
    moved = move_boxes(torch.tensor([[[0.0, 0, 4, 8]]]), torch.tensor([[5]]), draws, 32, 32)
    assert moved["box_labels"].item() == label


def test_runs_together_equal_runs_alone(batch: dict[str, Tensor]) -> None:
    """Each run draws from its own generator, for its own share of the concatenated batches."""
    together = move(batch, "crop_flip", *map(stream, range(4)))
    for run in range(4):
        own = {name: values[16 * run : 16 * run + 16] for name, values in batch.items()}
        alone = move(own, "crop_flip", stream(run))
        assert all(torch.equal(together[name][16 * run : 16 * run + 16], alone[name]) for name in batch)


def test_vmap_over_runs_equals_a_loop(batch: dict[str, Tensor]) -> None:
    """Boxes are moved by a pure function of tensors."""
    pad = padding(SIZE)
    draws = Draws(torch.randint(0, 2 * pad + 1, (4, 16, 2)), torch.randint(0, 2, (4, 16)).bool())
    boxes, labels = batch["boxes"].view(4, 16, 2, 4), batch["box_labels"].view(4, 16, 2)

    def one(boxes: Tensor, labels: Tensor, *own: Tensor) -> dict[str, Tensor]:
        return move_boxes(boxes, labels, Draws(*own), SIZE, WIDTH)

    stacked = torch.vmap(one)(boxes, labels, *draws)
    for run in range(4):
        alone = one(boxes[run], labels[run], draws.offsets[run], draws.flips[run])
        assert all(torch.equal(stacked[name][run], alone[name]) for name in alone)
