"""The parts of a fine-tuning, one by one: splits, samplers, batches, positions, losses, the learning rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import ASTConfig, get_scheduler

from ast_demo.data.clips import LabelledClip, LabelledClips
from ast_demo.errors import DataError
from ast_demo.features.log_mel import InputSettings, compute_spectrograms
from ast_demo.finetuning.augmentation import FLOOR, vary_sound, vary_spectrogram
from ast_demo.finetuning.batches import SpectrogramBatches
from ast_demo.finetuning.clip_versions import TrainingClip, make_versions
from ast_demo.finetuning.options import Augmentation, FinetuneOptions
from ast_demo.finetuning.positions import grid_of, interpolate_positions
from ast_demo.finetuning.sampler import ClipSampler
from ast_demo.finetuning.scores import soft_loss
from ast_demo.finetuning.split import split_clips
from ast_demo.finetuning.trainer import schedule
from tests.clips import noise, tone, waveform
from tests.tiny import TINY

MELS, FRAMES = 43, 89  # of the tiny configuration
SETTINGS = InputSettings(MELS, FRAMES, -6.0, 5.0)
CONFIG = ASTConfig(**TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
STRONG = Augmentation(
    copies=1, speed=0.1, pitch=1, stretch=0.1, sound_noise=0.5, transition=0.3, clipping=0.3, gain_db=20, tilt_db=6,
    warp=0.1, time_warp=0.1, placement=0.5, noise=0.5, crop=0.3, mixup=0.4, mask_bins=5, mask_frames=5,
)  # fmt: skip


def made_clips(*columns: dict[str, str], labels: str = "ab") -> LabelledClips:
    return LabelledClips(
        "made", tuple(LabelledClip(f"{i}.wav", b"", (labels[i % len(labels)],), c) for i, c in enumerate(columns))
    )


def test_groups_stay_together() -> None:
    clips = made_clips(*({"speaker": f"s{i // 4}"} for i in range(20)))
    split = split_clips(clips, FinetuneOptions(group_column="speaker", validation_share=0.4))
    sides = [{clip.columns["speaker"] for clip in side} for side in (split.training, split.validation)]
    assert len(sides[1]) == 2
    assert not sides[0] & sides[1]


def test_values_of_columns_are_held_out() -> None:
    clips = made_clips({"fold": "1"}, {"fold": "1"}, {"fold": "4"}, {"voice": "x"}, {"voice": "y"}, {"voice": "y"})
    split = split_clips(clips, FinetuneOptions(validation={"fold": ["4"], "voice": ["x"]}))
    assert [clip.name for clip in split.validation] == ["2.wav", "3.wav"]


def test_the_data_s_own_split_is_kept() -> None:
    clips = made_clips(*({"split": name} for name in ("train", "train", "validation", "validation", "test")))
    split = split_clips(clips, FinetuneOptions())
    assert [len(side) for side in (split.training, split.validation, split.test)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        (made_clips(*[{}] * 5, labels="abbbb"), FinetuneOptions(), "The label 'a' has one clip"),
        (made_clips(*[{"split": "test"}] * 4), FinetuneOptions(), "no training split; the splits are test"),
        (
            made_clips(*[{"fold": "1"}] * 4),
            FinetuneOptions(validation={"fold": ["5"]}),
            "No clip has fold = '5' .* the values are 1",
        ),
        (
            made_clips(*[{"fold": "1"}] * 4),
            FinetuneOptions(validation={"take": ["5"]}),
            "no column 'take' .* the columns are fold",
        ),
        (
            made_clips(*[{"fold": "1"}] * 4),
            FinetuneOptions(validation={"fold": ["1"]}),
            "No clips are left to learn from",
        ),
        (made_clips(*[{"fold": "1"}] * 4), FinetuneOptions(group_column="fold"), "the same value of 'fold'"),
        (made_clips({"f": "1"}, {"f": "2"}), FinetuneOptions(validation={"f": ["2"]}), "'b' has no clip to learn from"),
    ],
)
def test_splits_that_cannot_be_are_refused(clips: LabelledClips, options: FinetuneOptions, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_clips(clips, options)


def test_interpolated_positions_follow_the_places() -> None:
    old = grid_of(CONFIG)
    new = grid_of(ASTConfig(**{**TINY, "frequency_stride": 2, "time_stride": 3, "max_length": 71}))
    field = torch.zeros(1, 2 + old.n_patches, 2)
    field[0, :2] = 7.0
    for frequency in range(old.n_frequency):
        for time_ in range(old.n_time):
            field[0, old.token(frequency, time_)] = torch.tensor(
                [3.0 * frequency, 5.0 * time_]
            )  # the start in bins, frames
    moved = interpolate_positions(field, old, new)
    assert moved[0, :2].eq(7.0).all()
    for frequency in range(new.n_frequency):
        for time_ in range(new.n_time):
            expected = [min(2.0 * frequency, 36.0), min(3.0 * time_, 80.0)]
            assert moved[0, new.token(frequency, time_)].tolist() == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(interpolate_positions(field, old, old), field)


def learning_rates(steps: int, options: FinetuneOptions) -> list[float]:
    """Factors of the learning rate at each step, as 🤗 Trainer makes its schedule of what we ask for."""
    asked = schedule(steps, options)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(
        asked["lr_scheduler_type"], optimizer, asked["warmup_steps"], steps, asked["lr_scheduler_kwargs"]
    )
    factors = []
    for _ in range(steps + 1):
        factors.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return factors


def test_learning_rate_rises_stays_and_falls() -> None:
    options = FinetuneOptions(warmup=0.1, decay=0.5)
    factors = learning_rates(100, options)
    assert factors[:11] == pytest.approx([step / 10 for step in range(11)])
    assert factors[10:51] == [1.0] * 41
    assert factors[75] == pytest.approx(0.5)
    assert factors[100] == 0


def test_a_long_warm_up_leaves_less_to_fall() -> None:
    factors = learning_rates(10, FinetuneOptions(warmup=0.4, decay=0.9))
    assert factors == pytest.approx([0, 1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])


def test_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # softmax 1/4, 3/4; the second sigmoid is 3/4
    assert float(soft_loss(logits, torch.tensor([[0.0, 1.0]]), 0.0, False)) == pytest.approx(-math.log(0.75))
    assert float(soft_loss(logits, torch.tensor([[0.5, 0.5]]), 0.0, False)) == pytest.approx(-math.log(0.25 * 0.75) / 2)
    by_hand = -(math.log(0.5) + math.log(0.75)) / 2
    assert float(soft_loss(logits, torch.tensor([[0.0, 1.0]]), 0.0, True)) == pytest.approx(by_hand)


def training_clips(n: int = 6, seconds: float = 0.3) -> list[TrainingClip]:
    settings = InputSettings(MELS, FRAMES)
    targets = np.eye(3, dtype=np.float32)
    sounds = [waveform(tone(400 * (i + 1), seconds) + noise(seconds, i, 0.01)) for i in range(n)]
    return [
        TrainingClip(make_versions(sound, settings, STRONG, (0, i)), targets[i % 3], i >= 4)
        for i, sound in enumerate(sounds)
    ]


def sampler_of(clips: list[TrainingClip], batch_sizes: list[int], seed: int = 0) -> ClipSampler:
    return ClipSampler(
        np.stack([clip.target for clip in clips]), np.array([clip.extra for clip in clips]), batch_sizes,
        balanced=True, label_power=0.0, extra_share=0.5, seed=seed,
    )  # fmt: skip


def make_batches(how: Augmentation, batch_sizes: list[int], seed: int = 0) -> SpectrogramBatches:
    clips = training_clips()
    return SpectrogramBatches(clips, sampler_of(clips, batch_sizes, seed), SETTINGS, how, seed)


def test_a_batch_is_a_function_of_seed_and_number() -> None:
    sizes = [4, 4, 4, 2, 2]
    first, second, other = (make_batches(STRONG, sizes, seed) for seed in (0, 0, 1))
    assert len(first) == 5
    backwards = {i: second[i] for i in reversed(range(5))}
    for i in range(5):
        for key, value in first[i].items():
            assert torch.equal(value, backwards[i][key]), (i, key)
    assert not torch.equal(first[0]["input_values"], other[0]["input_values"])
    assert [len(first[i]["labels"]) for i in range(5)] == sizes
    assert all(batch["labels"].sum(dim=1).allclose(torch.ones(len(batch["labels"]))) for batch in backwards.values())


def test_without_augmentation_training_sees_what_inference_sees() -> None:
    batch = make_batches(Augmentation(), [6])[0]
    seen = {
        tuple(
            compute_spectrograms([waveform(tone(400 * (i + 1), 0.3) + noise(0.3, i, 0.01))], SETTINGS)[0]
            .values[5]
            .round(2)
        )
        for i in range(6)
    }
    copies = sum(tuple(values[5].numpy().round(2)) in seen for values in batch["input_values"])
    assert copies >= 1  # there is a varied copy beside each clip; rows that were not varied must be found
    assert batch["input_values"][:, -1].allclose(torch.tensor(SETTINGS.padding_value))


def test_every_clip_comes_once_in_an_epoch() -> None:
    targets = np.eye(2, dtype=np.float32)[[0, 1, 0, 0, 1]]
    sampler = ClipSampler(
        targets, np.zeros(5, bool), [2] * 5, balanced=False, label_power=0.0, extra_share=0.5, seed=3
    )  # fmt: skip
    drawn = [clip for i in range(5) for clip in sampler.draw(i)[0]]
    assert sorted(drawn[:5]) == sorted(drawn[5:]) == [0, 1, 2, 3, 4]
    assert drawn[:5] != drawn[5:]


def test_draws_follow_the_weights_of_labels_and_extra_clips() -> None:
    targets = np.eye(2, dtype=np.float32)[[0] * 16 + [1] * 4]
    extra = np.arange(20) >= 18  # two of the four clips of the second label
    sampler = ClipSampler(targets, extra, [4000], balanced=True, label_power=0.5, extra_share=0.25, seed=0)
    drawn = np.array(sampler.draw(0)[0])
    # Weights: the roots of 16 and 2. Deviation of a share of 4000 draws: below 0.008.
    assert (drawn < 16).mean() == pytest.approx(4 / (4 + math.sqrt(2)), abs=0.03)
    assert (drawn >= 18).sum() / (drawn >= 16).sum() == pytest.approx(0.25, abs=0.06)


def test_sound_is_varied_repeatably_and_the_global_generators_are_left_alone() -> None:
    sound = tone(440, 0.5).astype(np.float32)
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    varied = [vary_sound(sound, STRONG, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(varied[0], varied[1])
    assert varied[0].shape != varied[2].shape or not np.allclose(varied[0], varied[2])
    assert np.array_equal(np.random.get_state()[1], before)
    assert all(np.abs(v).max() <= 1 and v.dtype == np.float32 for v in varied)


def test_a_bent_and_trimmed_ramp_is_a_part_of_the_ramp() -> None:
    ramp = np.repeat(np.linspace(-8, 0, 60, dtype=np.float32)[:, None], MELS, axis=1)
    bent = [
        vary_spectrogram(ramp, Augmentation(time_bend=0.5), np.random.default_rng(seed))[:, 0] for seed in range(20)
    ]
    assert all(len(one) == 60 and (np.diff(one) >= 0).all() for one in bent)
    assert all(one[[0, -1]] == pytest.approx([-8, 0], abs=1e-4) for one in bent)
    middles = np.array([one[30] for one in bent])
    assert middles.min() < -4.3 and middles.max() > -3.7, "the middle moves to either side"
    for seed in range(20):
        part = vary_spectrogram(ramp, Augmentation(trim=0.1), np.random.default_rng(seed))[:, 0]
        assert 48 <= len(part) <= 60
        assert np.isin(part, ramp[:, 0]).all() and (np.diff(part) > 0).all()


def test_a_random_equaliser_is_smooth_and_no_louder_than_asked() -> None:
    flat = np.full((20, MELS), -5, np.float32)
    flat[10:] = FLOOR
    for seed in range(20):
        varied = vary_spectrogram(flat, Augmentation(equaliser_db=8), np.random.default_rng(seed))
        assert (varied[10:] == np.float32(FLOOR)).all(), "digital silence stays what it is"
        decibels = (varied[0] + 5) * 10 / math.log(10)
        assert np.abs(decibels).max() <= 8 + 1e-4
        assert np.abs(np.diff(decibels)).max() <= 8 * math.pi * 7 / (MELS - 1) + 1e-4  # the slope of seven half waves
        assert np.ptp(decibels) > 0
