"""The shapes of public data sets, each made small: facts of their publications and of how they are handed out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.data.making import make, write


def esc50(folder: Path) -> Path:
    """Piczak 2015: meta/esc50.csv beside audio/, names of fold-clip-take-target."""
    names = [f"{fold}-10{k}-A-{target}.wav" for fold in (1, 2) for k, target in enumerate((0, 10))]
    make(folder, *(f"audio/{name}" for name in names))
    rows = [f"{name},{name[0]},{name[8:-4]},{'dog' if name.endswith('-0.wav') else 'rain'},True,10,A" for name in names]
    write(folder / "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    write(folder / "meta/esc50-human.xlsx", "no table that is read")
    return write(folder / "README.md", "ESC-50").parent


def urbansound8k(folder: Path) -> Path:
    """Salamon et al. 2014: the times are those in the recording on Freesound, and its slice is already cut."""
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for fold in (1, 10):
        for k, name in enumerate(("dog_bark", "siren")):
            file = f"{fold}0032-{k}-0-0.wav"
            make(folder, f"audio/fold{fold}/{file}")
            rows.append(f"{file},{fold}0032,317.8,321.8,1,{fold},{k},{name}")
    write(folder / "metadata/UrbanSound8K.csv", *rows)
    write(folder / "audio/fold1/.DS_Store", "")
    return folder


def speech_commands(folder: Path, around: str = "") -> Path:
    """Warden 2018: a folder a word, lists of two splits, noise that is no word, the speaker in the name."""
    words = [f"{word}/0{k}{'c' * 6}_nohash_0.wav" for word in ("one", "seven") for k in range(3)]
    make(folder, *(f"{around}{name}" for name in words), f"{around}_background_noise_/pink_noise.wav")
    write(folder / f"{around}validation_list.txt", *(name for name in words if "/01" in name))
    write(folder / f"{around}testing_list.txt", *(name for name in words if "/02" in name), "one/gone.wav")
    write(folder / "LICENSE", "-")
    return folder


def free_spoken_digits(folder: Path) -> Path:
    """Jackson et al. 2018: digit, speaker and index in the name; the folder is no label."""
    names = [f"{digit}_{who}_{k}.wav" for digit in (0, 7) for who in ("theo", "lucas") for k in (0, 12)]
    return make(folder, *(f"recordings/{name}" for name in names))


def gtzan(folder: Path) -> Path:
    """Tzanetakis & Cook 2002, as on Kaggle: a folder for each genre, and tables of features."""
    names = [f"{genre}/{genre}.0000{k}.wav" for genre in ("blues", "rock") for k in range(2)]
    make(folder, *(f"Data/genres_original/{name}" for name in names))
    write(folder / "Data/images_original/blues/blues00000.png", "-")
    features = [f"{name.split('/')[1]},661794,0.35,{name.split('/')[0]}" for name in names]
    write(folder / "Data/features_30_sec.csv", "filename,length,chroma_stft_mean,label", *features)
    pieces = [row.replace(".wav", ".0.wav") for row in features]
    write(folder / "Data/features_3_sec.csv", "filename,length,chroma_stft_mean,label", *pieces)
    return folder


def fsd50k(folder: Path) -> Path:
    """Fonseca et al. 2020: names without a suffix, several labels with commas, ids beside them, two folders."""
    make(folder, *(f"FSD50K.dev_audio/{k}.wav" for k in (64760, 64761)), "FSD50K.eval_audio/37199.wav")
    truth = folder / "FSD50K.ground_truth"
    write(
        truth / "dev.csv",
        "fname,labels,mids,split",
        '64760,"Dog,Rain","/m/0bt9lr,/m/06mb1",train',
        "64761,Rain,/m/06mb1,val",
    )
    write(truth / "eval.csv", "fname,labels,mids", '37199,"Rain,Dog","/m/06mb1,/m/0bt9lr"')
    write(truth / "vocabulary.csv", "0,Bell,/m/0395lw", "1,Dog,/m/0bt9lr", "2,Rain,/m/06mb1")
    return folder


def audioset(folder: Path, file: str = "{id}.wav") -> Path:
    """Gemmeke et al. 2017: comments, the last of which is the header; videos, of which some are gone; ids of labels."""
    segments = (
        ("--4gqARaEJE", 0, "/m/068hy,/m/06mb1"),
        ("0Jwb-7_abcd", 30, "/m/06mb1"),
        ("1aaaaaaaaaa", 40, "/m/068hy,/m/06mb1"),
        ("2bbbbbbbbbb", 50, "/m/06mb1"),
        ("gonegonegon", 10, "/m/068hy"),
    )
    for video, start, _ in segments[:-1]:
        make(folder, "audio/" + file.format(id=video, ms=start * 1000, s=start, end=(start + 10) * 1000))
    write(
        folder / "eval_segments.csv",
        "# Segments csv created Sun Mar  5 10:54:25 2017",
        "# num_ytids=5, num_segs=5, num_unique_labels=2, num_positive_labels=7",
        "# YTID, start_seconds, end_seconds, positive_labels",
        *(f'{video}, {start}.000, {start + 10}.000, "{ids}"' for video, start, ids in segments),
    )
    write(
        folder / "class_labels_indices.csv",
        "index,mid,display_name",
        '74,/m/068hy,"Domestic animals, pets"',
        "288,/m/06mb1,Rain",
    )
    return folder


def common_voice(folder: Path) -> Path:
    """Ardila et al. 2020: TSV for each split, in which a quotation mark is text, paths relative to clips/."""
    make(folder, *(f"clips/common_voice_en_{k}.wav" for k in range(6)))
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
    rows = [
        f'c{k}\tcommon_voice_en_{k}.wav\t"Well, he said.\t2\t0\t\t{gender}\t\ten\t'
        for k, gender in enumerate(("female", "male", "female", "", "male", "male"))
    ]
    write(folder / "train.tsv", header, *rows[:2])
    write(folder / "dev.tsv", header, rows[2])
    write(folder / "test.tsv", header, rows[3], rows[4])
    write(folder / "validated.tsv", header, *rows[:5])
    write(folder / "invalidated.tsv", header, rows[5])
    return folder


INTENTS = ("abroad", "address", "app_error", "atm_limit", "balance", "business_loan", "card_issues")


def minds14(folder: Path) -> Path:
    """Gerz et al. 2021: a table for each language, paths with the intent in a folder's name."""
    files = {
        f"en-US~{intent}/602b9{k}.wav": number for intent, number in (("ADDRESS", 1), ("CARD_ISSUES", 6)) for k in "ab"
    }
    make(folder, *(f"audio/{name}" for name in files))
    rows = (f"{name},hi,hi,{number}" for name, number in files.items())
    write(folder / "text/en-US.csv", "path,transcription,english_transcription,intent_class", *rows)
    return folder


def kaggle(folder: Path) -> Path:
    """As FSDKaggle2018: train.csv, recordings in audio_train/, unlabelled ones in audio_test/, an example to hand in."""
    rows = {f"000{k}4347.wav": ("Hi-hat", "Dog")[k % 2] for k in range(4)}
    make(folder, *(f"audio_train/{name}" for name in rows), "audio_test/00063640.wav")
    write(folder / "train.csv", "fname,label,manually_verified", *(f"{name},{label},0" for name, label in rows.items()))
    write(folder / "sample_submission.csv", "fname,label", "00063640.wav,Laughter Hi-Hat Glockenspiel")
    return folder


def birdclef(folder: Path) -> Path:
    """As on Kaggle: a table with the file's folder, a list of further labels, and a column that is an address."""
    make(folder, *(f"train_audio/{bird}/XC{k}.ogg" for bird, k in BIRDS))
    write(
        folder / "train_metadata.csv",
        "primary_label,secondary_labels,type,filename,url",
        *(
            f"{bird},{'[]' if bird == 'abethr1' else CALLS},['song'],{bird}/XC{k}.ogg,https://xeno-canto.org/{k}"
            for bird, k in BIRDS
        ),
    )
    return folder


BIRDS = (("abethr1", 1), ("zitcis1", 2), ("abethr1", 3), ("zitcis1", 4))
CALLS = "\"['abethr1', 'x']\""


def ids_with_names(folder: Path) -> Path:
    """A number for each label, and what they mean in a file beside the table."""
    make(folder, *(f"{k}.wav" for k in range(4)))
    write(folder / "metadata.csv", "file_name,label", *(f"{k}.wav,{k % 2}" for k in range(4)))
    return write(folder / "classes.txt", "dog", "rain").parent


def audacity(folder: Path) -> Path:
    """Label tracks beside two recordings, named as they are."""
    make(folder, "day.wav", "night.wav")
    for name in ("day", "night"):
        write(folder / f"{name}.txt", "0.0\t0.2\tdog", "0.25\t0.45\train")
    return folder


def raven(folder: Path) -> Path:
    """Selection tables beside two recordings, with a view for each channel that is drawn."""
    make(folder, "day.wav", "night.wav")
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"
    rows = ("1\tSpectrogram 1\t1\t0.0\t0.2\t100\t900\tdog", "2\tSpectrogram 1\t1\t0.25\t0.45\t100\t900\train")
    for name in ("day", "night"):
        write(folder / f"{name}.Table.1.selections.txt", header, *rows)
    return folder


def segments(folder: Path) -> Path:
    """A table of parts of two recordings."""
    make(folder, "day.wav", "night.wav")
    rows = [f"{name},{times}" for name in ("day.wav", "night.wav") for times in ("0.0,0.2,dog", "0.25,0.45,rain")]
    return write(folder / "annotations.csv", "file_name,onset,offset,label", *rows).parent


@dataclass(frozen=True)
class Layout:
    """A data set's shape: what writes it, what the command line has to be told, and what the program says of it."""

    make: Callable[[Path], Path]
    labels: tuple[str, ...]
    says: tuple[str, ...]
    options: tuple[str, ...] = ()


LAYOUTS = {
    "ESC-50": Layout(esc50, ("dog", "rain"), ("4 clips of 2 labels: dog 2, rain 2.", "from the column 'category'")),
    "UrbanSound8K": Layout(
        urbansound8k, ("dog_bark", "siren"), ("4 clips of 2 labels", "The columns 'start' and 'end' are not used")
    ),
    "Speech Commands": Layout(
        speech_commands,
        ("one", "seven"),
        ("6 clips of 2 labels", "Splits, from testing_list.txt and validation_list.txt", "_background_noise_: noise"),
    ),
    "Free Spoken Digits": Layout(
        free_spoken_digits, ("0", "7"), ("8 clips of 2 labels", "the names of the files, which are digit_speaker_index")
    ),
    "GTZAN": Layout(gtzan, ("blues", "rock"), ("4 clips of 2 labels", "features_3_sec.csv: none of the files")),
    "FSD50K": Layout(fsd50k, ("Dog", "Rain"), ("3 clips of 2 labels", "several to a clip")),
    "AudioSet": Layout(
        audioset,
        ("Domestic animals, pets", "Rain"),
        ("4 clips of 2 labels", "named by class_labels_indices.csv", "whose videos are not there"),
    ),
    "Common Voice": Layout(
        common_voice, ("female", "male"), ("4 clips of 2 labels", "'gender'"), ("--label-from", "gender")
    ),
    "MInDS-14": Layout(minds14, ("1", "6"), ("4 clips of 2 labels", "'intent_class'")),
    "FSDKaggle2018": Layout(
        kaggle, ("Dog", "Hi-hat"), ("4 clips of 2 labels", "sample_submission.csv: an example of answers, and no truth")
    ),
    "BirdCLEF": Layout(birdclef, ("abethr1", "zitcis1"), ("4 clips of 2 labels", "'primary_label'")),
    "ids with names": Layout(ids_with_names, ("dog", "rain"), ("4 clips of 2 labels", "named by classes.txt")),
    "Audacity": Layout(
        audacity, ("dog", "rain"), ("4 clips of 2 labels", "the times and labels in day.txt and night.txt")
    ),
    "Raven": Layout(
        raven, ("dog", "rain"), ("4 clips of 2 labels", "in day.Table.1.selections.txt and night.Table.1.")
    ),
    "parts": Layout(segments, ("dog", "rain"), ("4 clips of 2 labels", "'onset'")),
}
