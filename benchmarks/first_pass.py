"""From JPEGs to batches: against other loaders, and against the decoder alone."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from benchmarks.figures import Figure, Measured, NotRunError, Setting, not_run
from benchmarks.rounds import Candidate, Process, Round, alternate, cpu_rate
from benchmarks.sets import cache, mean_bytes, sets

FIRST_PASS = (
    Figure("first_pass_f32_vs_webdataset", "JPEGs to float32 batches, against webdataset + PIL + torchvision", 3.5, 5.0),
    Figure("first_pass_f32_vs_litdata", "… against LitData + torchvision", 2.5, 4.0),
    Figure("first_pass_f32_vs_mosaicml", "… against MosaicML streaming + PIL + torchvision", 3.5, 5.0),
    Figure("first_pass_uint8_vs_decoder", "JPEGs to uint8 batches, against simplejpeg decoding alone", 0.80, 0.90),
    Figure("first_pass_f32_vs_webdataset_untuned", "… against webdataset + PIL + torchvision without the malloc variables", None, None),
    Figure("first_pass_with_copy_vs_webdataset", "… the decoded copy written to disk too, against webdataset + PIL + torchvision", None, None),
)
LATER_PASS = (
    Figure("later_pass_f32_vs_webdataset", "decoded copy to float32 batches, against webdataset + PIL + torchvision", 11.0, 17.0),
    Figure("later_pass_preprocessed_vs_webdataset", "… by the nets' own preprocessing on the CPU", None, None),
    Figure("later_pass_uint8_vs_memcpy", "decoded copy to uint8 batches, against copying as many bytes", 0.40, 0.50),
    Figure("later_pass_uint8_of_a_million_vs_memcpy", "… with a million rows to draw from", 0.40, 0.50),
)


def first_pass(setting: Setting) -> Iterator[Measured]:
    for ending, root in sets(setting).items():
        folder = setting.work / f"peers{ending}"
        folder.mkdir(parents=True, exist_ok=True)
        of, to = {"root": str(root)}, {"root": str(root), "folder": str(folder)}
        rounds, missing = measured(
            setting,
            {
                "f32": Candidate("loaders:first_pass", of | {"to": "f32"}),
                "webdataset": Candidate("loaders:naive", of),
                "webdataset_untuned": Candidate("loaders:naive", of, tuned=False),
                "litdata": Candidate("peers:litdata", to, setting.peers),
                "mosaicml": Candidate("peers:mosaicml", to, setting.peers),
                "uint8": Candidate("loaders:first_pass", of | {"to": "uint8"}),
                "decoder": Candidate("limits:simplejpeg_alone", of),
                "with_copy": Candidate("loaders:first_pass_with_copy", to),
            },
        )
        yield from ratios(FIRST_PASS, ending, rounds, missing, {"mean_bytes": round(mean_bytes(root))})


def later_pass(setting: Setting) -> Iterator[Measured]:
    for ending, root in sets(setting).items():
        of = {"root": str(root)}
        at = of | {"cache": str(cache(setting, root))}
        rounds, missing = measured(
            setting,
            {
                "f32": Candidate("loaders:later_pass", at | {"to": "f32"}),
                "webdataset": Candidate("loaders:naive", of),
                "preprocessed": Candidate("loaders:later_pass", at | {"to": "preprocessed"}),
                "uint8": Candidate("loaders:later_pass", at | {"to": "uint8"}),
                "uint8_of_a_million": Candidate("loaders:later_pass", at | {"to": "uint8", "num_rows": 1_000_000}),
                "memcpy": Candidate("limits:memcpy", at),
            },
        )
        yield from ratios(LATER_PASS, ending, rounds, missing, {})


def measured(setting: Setting, candidates: Mapping[str, Candidate]) -> tuple[dict[str, list[Round]], dict[str, str]]:
    """Rounds of all candidates that can run here, and why the others cannot."""
    missing = {}
    with ExitStack() as stack:
        processes = {}
        for name, candidate in candidates.items():
            try:
                processes[name] = stack.enter_context(Process(candidate))
            except NotRunError as error:
                missing[name] = str(error)
        return alternate(processes, setting.rounds), missing


def ratios(
    figures: tuple[Figure, ...], ending: str, rounds: Mapping[str, list[Round]], missing: Mapping[str, str], detail: Mapping[str, object]
) -> Iterator[Measured]:
    """A figure ``GROUP_A_vs_B`` for each pair: how many times the pictures of B a second of CPU time A gives."""
    rates = {name: cpu_rate(found) for name, found in rounds.items()}
    for figure in figures:
        ours, _, other = figure.name.partition("_pass_")[2].partition("_vs_")
        renamed = Figure(figure.name + ending, figure.text, figure.floor, figure.aim)
        if absent := [missing[name] for name in (ours, other) if name in missing]:
            yield from not_run([renamed], absent[0])
            continue
        yield Measured(renamed, rates[ours] / rates[other], detail={ours: round(rates[ours]), other: round(rates[other]), **detail})
