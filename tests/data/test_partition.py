from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from normbench.data import Dataset, Split, limit, resize, split
from normbench.errors import DataError


def make(counts: list[int], num_test: int = 0, *, shuffled: bool = True) -> Dataset:
    """Make a set with `counts[k]` images of class k and `num_test` test images behind them; an image shows its row."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    if shuffled:
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    labels = torch.cat([labels, torch.arange(num_test) % len(counts)])
    images = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1)
    return Dataset("made", images, labels, num_test, tuple(str(k) for k in range(len(counts))), "0" * 64)


def by_class(data: Dataset, part: Tensor) -> list[int]:
    return torch.bincount(data.labels[part], minlength=data.num_classes).tolist()


@pytest.mark.parametrize("num_test", [0, 30], ids=["drawn_test", "own_test"])
@pytest.mark.parametrize("counts", [[50, 50], [61, 20, 7], [97, 3], [33] * 10], ids=str)
@pytest.mark.parametrize("fraction", [0.1, 0.17, 0.33])
def test_parts_are_exact_disjoint_and_complete(counts: list[int], num_test: int, fraction: float) -> None:
    """Every image is in exactly one part, the parts have the rounded sizes, and the test part is the set's own."""
    data = make(counts, num_test)
    parts = split(data, seed=3, val_fraction=fraction, test_fraction=0.2, label_noise=0)
    size = sum(counts)
    assert torch.equal(torch.cat([parts.train, parts.val, parts.test]).sort().values, torch.arange(size + num_test))
    assert len(parts.val) == round(size * fraction)
    assert len(parts.test) == (num_test or round(size * 0.2))
    if num_test:
        assert torch.equal(parts.test, torch.arange(size, size + num_test))


@pytest.mark.parametrize("num_test", [0, 15], ids=["drawn_test", "own_test"])
def test_a_validation_part_of_the_set_is_used(num_test: int) -> None:
    """Whatever the seed and the share, and the test part is drawn from the rest, or is the set's own behind it."""
    data = replace(make([50, 50], 30), num_val=30 - num_test, num_test=num_test)
    for seed, share in ((0, 0.1), (1, 0.5)):
        parts = split(data, seed=seed, val_fraction=share, test_fraction=0.2)
        assert torch.equal(parts.val, torch.arange(100, 130 - num_test))
        assert torch.equal(torch.cat([parts.train, parts.val, parts.test]).sort().values, torch.arange(130))
        assert len(parts.test) == (num_test or 20)
        assert num_test == 0 or torch.equal(parts.test, torch.arange(130 - num_test, 130))


def test_a_validation_part_of_the_set_changes_no_other_part() -> None:
    """The test part of a seed is drawn as it is from the same images without it."""
    alone = split(make([50, 50]), seed=3, val_fraction=0.1, test_fraction=0.2)
    beside = split(replace(make([50, 50], 30), num_val=30, num_test=0), seed=3, val_fraction=0.1, test_fraction=0.2)
    assert torch.equal(beside.test, alone.test)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_parts_are_in_ascending_order(part: str) -> None:
    """Rows come in the order of the images, so that a part read in order walks through memory once."""
    rows = getattr(split(make([40, 40]), seed=0, val_fraction=0.2, test_fraction=0.2), part)
    assert torch.equal(rows, rows.sort().values)


def test_classes_keep_their_proportions() -> None:
    """Each class has its share of each part, to within the one image that rounding moves."""
    data = make([600, 300, 101])
    parts = split(data, seed=0, val_fraction=0.1, test_fraction=0.2)
    assert by_class(data, parts.test) == [120, 60, 20]
    assert by_class(data, parts.val) == [60, 30, 10]


def test_a_rare_class_stays_in_training() -> None:
    """Rounding never moves the only image of a class out of training while other classes have images to give."""
    data = make([1, 13, 13])
    for seed in range(20):
        parts = split(data, seed=seed, val_fraction=0.2, test_fraction=0.2)
        assert by_class(data, parts.train)[0] == 1


def test_parts_follow_the_seed() -> None:
    """The same seed draws the same parts, another seed others."""
    data = make([50, 50])
    first, again, other = (split(data, seed=seed, val_fraction=0.1, test_fraction=0.2) for seed in (0, 0, 1))
    assert torch.equal(first.train, again.train)
    assert not torch.equal(first.train, other.train)
    assert not torch.equal(first.test, other.test)


def test_test_part_does_not_depend_on_the_validation_share() -> None:
    """Runs that validate on more or fewer images are judged on the same ones."""
    data = make([50, 50])
    tests = [split(data, seed=0, val_fraction=share, test_fraction=0.2).test for share in (0.1, 0.4)]
    assert torch.equal(tests[0], tests[1])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_label_noise_changes_exactly_its_share_of_training_labels(share: float) -> None:
    """Noise replaces the rounded share of the training labels by other classes and touches no other part."""
    data = make([40, 40, 41])
    parts = split(data, seed=0, val_fraction=0.1, test_fraction=0.2, label_noise=share)
    changed = parts.fields["labels"] != data.labels
    assert int(changed.sum()) == int(changed[parts.train].sum()) == round(len(parts.train) * share)
    assert set(parts.fields["labels"].tolist()) == {0, 1, 2}


def test_wrong_labels_are_uniform_over_the_other_classes() -> None:
    """Each of the other classes gets its equal share of the wrong labels."""
    data = make([3000, 3000, 3000, 3000])
    parts = split(data, seed=0, val_fraction=0.01, test_fraction=0.01, label_noise=1.0)
    rows = parts.train[data.labels[parts.train] == 2]
    counts = torch.bincount(parts.fields["labels"][rows], minlength=4)
    expected = len(rows) / 3
    assert counts[2] == 0
    assert ((counts[[0, 1, 3]] - expected).abs() < 5 * (expected * 2 / 3) ** 0.5).all()


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    """Along a sweep over label noise the wrong labels are added to, not drawn anew."""
    data = make([40, 40, 41])
    less, more = (split(data, seed=0, val_fraction=0.1, test_fraction=0.2, label_noise=share) for share in (0.2, 0.5))
    wrong = less.fields["labels"] != data.labels
    assert torch.equal(more.fields["labels"][wrong], less.fields["labels"][wrong])


def grouped(counts: list[int], num_test: int = 0) -> Dataset:
    """Make a set with `counts[k]` images of group 7 k, scattered, of alternating classes, before a test part."""
    groups = torch.repeat_interleave(7 * torch.arange(len(counts)), torch.tensor(counts))
    groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(2))]
    data = make([len(groups) // 2, len(groups) - len(groups) // 2], num_test)
    return replace(data, groups=torch.cat([groups, torch.full((num_test,), 1)]))


@pytest.mark.parametrize("num_test", [0, 30], ids=["drawn_test", "own_test"])
@pytest.mark.parametrize("counts", [[20] * 20, [1] * 100, list(range(1, 30))], ids=["equal", "single", "uneven"])
def test_groups_stay_together(counts: list[int], num_test: int) -> None:
    """Every image is in one part, no group is in two, and parts have their size up to half a group."""
    data = grouped(counts, num_test)
    assert data.groups is not None
    for seed in range(5):
        parts = split(data, seed=seed, val_fraction=0.1, test_fraction=0.2)
        rows = (parts.train, parts.val, parts.test)
        assert torch.equal(torch.cat(rows).sort().values, torch.arange(len(data)))
        found = [set(data.groups[part].tolist()) for part in rows]
        assert sum(map(len, found)) == len(set.union(*found))
        assert abs(len(parts.val) - 0.1 * sum(counts)) <= max(counts) / 2 + 0.5
        if num_test:
            assert torch.equal(parts.test, torch.arange(sum(counts), len(data)))
        else:
            assert abs(len(parts.test) - 0.2 * sum(counts)) <= max(counts) / 2 + 0.5


def test_groups_follow_the_seed() -> None:
    """The same seed draws the same groups, another seed others, and the validation share leaves the test part alone."""
    data = grouped([10] * 20)
    first, again, other = (split(data, seed=seed, val_fraction=0.1, test_fraction=0.2) for seed in (0, 0, 1))
    assert torch.equal(first.train, again.train)
    assert not torch.equal(first.test, other.test)
    assert torch.equal(first.test, split(data, seed=0, val_fraction=0.4, test_fraction=0.2).test)


def test_a_part_has_at_least_one_group() -> None:
    """A share below half a group is that group, not none."""
    parts = split(grouped([40] * 3), seed=0, val_fraction=0.01, test_fraction=0.01)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [40, 40, 40]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_groups_are_refused(count: int) -> None:
    """Where whole groups leave nothing to train on, the message says why."""
    with pytest.raises(DataError, match=rf"'made': validation and test leave none of the {count} groups"):
        split(grouped([40 // count] * count), seed=0, val_fraction=0.1, test_fraction=0.2)


def test_limit_keeps_groups_with_their_images() -> None:
    """An image that is kept has the group that it had."""
    data = grouped([10] * 20)
    assert data.groups is not None
    cut = limit(data, 50)
    assert cut.groups is not None
    assert torch.equal(cut.groups, data.groups[cut.images.flatten().long()])


def test_the_set_is_left_as_it_was() -> None:
    """Label noise goes into the split, never into the shared data set."""
    data = make([40, 40])
    before = data.labels.clone()
    split(data, seed=0, val_fraction=0.1, test_fraction=0.2, label_noise=0.5)
    assert torch.equal(data.labels, before)


@pytest.mark.parametrize(
    ("counts", "num_test", "fractions", "message"),
    [
        ([10, 10], 0, (0.0, 0.2, 0.0), "data.val_fraction selects none of 20 samples"),
        ([10, 10], 0, (0.1, 0.0, 0.0), "data.test_fraction selects none of 20 samples"),
        ([10, 10], 0, (0.5, 0.5, 0.0), r"validation \(10\) and test \(10\) leave none of the 20 samples"),
        ([10, 10], 5, (1.0, 0.0, 0.0), "leave none of the 20 samples"),
        ([10, 10, 0], 0, (0.1, 0.2, 0.0), r"1 of 3 classes have no training sample \('2'\)"),
        ([1] * 10, 0, (0.1, 0.1, 0.0), r"2 of 10 classes have no training sample"),
        ([10, 10], 0, (-0.1, 0.2, 0.0), r"data.val_fraction must be in \[0, 1\], got -0.1"),
        ([10, 10], 0, (0.1, 1.5, 0.0), r"data.test_fraction must be in \[0, 1\], got 1.5"),
        ([10, 10], 0, (0.1, 0.2, 2.0), r"data.label_noise must be in \[0, 1\], got 2.0"),
    ],
    ids=[
        "no_val",
        "no_test",
        "no_train",
        "no_train_own_test",
        "class_absent",
        "class_lost",
        "val<0",
        "test>1",
        "noise>1",
    ],
)
def test_impossible_splits_are_refused(
    counts: list[int], num_test: int, fractions: tuple[float, float, float], message: str
) -> None:
    """A split that cannot be trained on, chosen on or judged by says which setting is at fault."""
    val, test, noise = fractions
    with pytest.raises(DataError, match=message):
        split(make(counts, num_test), seed=0, val_fraction=val, test_fraction=test, label_noise=noise)


def test_split_moves_to_a_device() -> None:
    """All four tensors go along."""
    one = torch.zeros(1, dtype=torch.int64)
    moved = Split(one, one, one, {"labels": one}).to("meta")
    assert {tensor.device.type for tensor in (moved.train, moved.val, moved.test, moved.fields["labels"])} == {"meta"}


def test_limit_is_stratified_in_both_parts() -> None:
    """Pool and own test part are cut down each, with the classes in proportion, in the old order."""
    cut = limit(make([60, 30, 10], num_test=60), 20)
    assert (cut.num_pool, cut.num_test) == (20, 20)
    assert by_class(cut, torch.arange(20)) == [12, 6, 2]
    assert max(by_class(cut, torch.arange(20, 40))) - min(by_class(cut, torch.arange(20, 40))) <= 1
    rows = cut.images.flatten()
    assert torch.equal(rows, rows.sort().values)
    assert (rows[20:] >= 100).all()


def test_limit_cuts_each_part_of_its_own() -> None:
    """A validation part is cut down as the others are, and what is drawn from them is what it was without it."""
    data = replace(make([30, 30], num_test=50), num_val=20, num_test=30)
    cut = limit(data, 10)
    assert (cut.num_pool, cut.num_val, cut.num_test) == (20, 10, 10)
    rows = cut.images.flatten()
    assert ((rows[10:20] >= 60) & (rows[10:20] < 80)).all() and (rows[20:] >= 80).all()
    assert torch.equal(rows[:10], limit(make([30, 30]), 10).images.flatten())


def test_limit_keeps_labels_with_their_images() -> None:
    """A kept image keeps its label."""
    data = make([30, 30])
    cut = limit(data, 20)
    assert torch.equal(cut.labels, data.labels[cut.images.flatten().long()])


def test_limit_keeps_rare_classes() -> None:
    """A class with few images keeps one of them, as long as the limit has room for each class."""
    assert by_class(limit(make([95, 3, 2]), 10), torch.arange(10)) == [8, 1, 1]


def test_limit_cuts_only_what_is_too_large() -> None:
    """A part that is small enough stays whole, and a set that is small enough is returned as it is."""
    data = make([30, 30], num_test=8)
    assert limit(data, 60) is data
    cut = limit(data, 20)
    assert torch.equal(cut.images[20:], data.images[60:])


def test_limit_is_the_same_every_time() -> None:
    """The subset is drawn from a fixed stream, so that all runs of a study share it."""
    data = make([30, 30])
    torch.manual_seed(1)
    first = limit(data, 10)
    torch.manual_seed(2)
    assert torch.equal(first.images, limit(data, 10).images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["uint8", "float32"])
def test_resize_is_antialiased_and_keeps_the_dtype(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling stripes away leaves their mean, where plain bilinear sampling would miss them."""
    monkeypatch.setattr("normbench.data.images.CHUNK_VALUES", 300)
    stripes = (torch.arange(16) % 4 == 0).mul(200).to(dtype).expand(5, 1, 16, 16).clone()
    small = resize(Dataset("stripes", stripes, torch.tensor([0, 1, 0, 1, 0]), 1, ("a", "b"), "0" * 64), 4)
    assert (small.images.dtype, small.images.shape) == (dtype, (5, 1, 4, 4))
    torch.testing.assert_close(small.images[..., 1:-1].float(), torch.full((5, 1, 4, 2), 50.0), atol=1, rtol=0)
    assert small.num_test == 1


def test_resize_rounds_uint8() -> None:
    """Values are rounded to the nearest integer, not cut off."""
    images = torch.tensor([[[[0, 1], [1, 1]]]], dtype=torch.uint8)
    data = Dataset("made", images, torch.tensor([0]), 0, ("a", "b"), "0" * 64)
    assert resize(data, 1).images.item() == 1


def test_resize_to_the_old_size_copies_nothing() -> None:
    """A set that has the size is returned as it is."""
    data = make([2, 2])
    assert resize(data, 1) is data


@pytest.mark.parametrize("cut", [limit, resize])
def test_sizes_below_one_are_refused(cut: Callable[[Dataset, int], Dataset]) -> None:
    """Neither a limit nor a size can be zero."""
    with pytest.raises(DataError, match=r"must be at least 1.* got 0"):
        cut(make([5, 5]), 0)
