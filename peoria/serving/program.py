"""A model as one program: squares of pictures in; score, value and place among val out. It runs with torch alone, or with an ONNX runtime.

The program is traced (torch.export) from the net, its own preprocessing and the task's own arithmetic: there is no second copy of a formula.
"""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from peoria.data.images import CENTRE, STORED_PX, ArrayPictures
from peoria.errors import PeoriaError
from peoria.models import PopularityNet
from peoria.tasks import FittedTask
from peoria.training.evaluate import forward_all

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OUTPUTS = ("score", "value", "percentile")
MAX_KNOWN = 10_000  # val scores that a program holds; of more, so many in equal steps, which moves a percentile by 0.0001 at most
NEAR = 1e-5  # relative above 1, absolute below: the largest difference from the net's own scores that counts as none
MOST_ONNX_BYTES = 2**31  # of a file of ONNX that is whole
_WEIGHTS_ALONE = "--format safetensors has the weights alone"


class _Readout(nn.Module):
    """A task's own arithmetic on outputs, float64 [N, num_outputs]: score and value, float64 [N]."""

    def __init__(self, fitted: FittedTask) -> None:
        super().__init__()
        self.fitted = fitted

    def forward(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        array = outputs.numpy()
        return torch.from_numpy(self.fitted.score(array)).double(), torch.from_numpy(self.fitted.predict(array)).double()


class _Program(nn.Module):
    """uint8 RGB [N, 256, 256, 3] to the three `OUTPUTS`, float64 [N] each."""

    known: Tensor

    def __init__(self, net: PopularityNet, readout: nn.Module, known: np.ndarray) -> None:
        super().__init__()
        self.net, self.readout = net, readout
        self.register_buffer("known", torch.from_numpy(known))

    def forward(self, squares: Tensor) -> dict[str, Tensor]:
        score, value = self.readout(self.net(self.net.pixels(squares[:, CENTRE, CENTRE])).double())
        below = (self.known < score[:, None]).double().mean(1)
        return dict(zip(OUTPUTS, (score, value, below), strict=True))


def program_of(net: PopularityNet, fitted: FittedTask, known: np.ndarray) -> "ExportedProgram":
    """The program of a net on the CPU in evaluation mode, for any number of pictures; the net is not to be trained any more.

    Args:
        known: scores of the val pictures, float64 [num_val].

    Raises:
        PeoriaError: torch cannot trace the net or the task.
    """
    from torch.export import Dim, export

    known = np.sort(known).astype(np.float64)
    if len(known) > MAX_KNOWN:
        known = known[np.linspace(0, len(known) - 1, MAX_KNOWN).round().astype(int)]
    net.requires_grad_(False)  # or what the program says could not be had as an array
    any_number = ({0: Dim.DYNAMIC},)
    what = f"task {fitted.task}"
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's, of its own inside
            # strict: by way of Python's bytecode, where numpy's functions become torch's
            readout = export(_Readout(fitted), (torch.zeros(2, fitted.num_outputs).double(),), dynamic_shapes=any_number, strict=True).module()
            what = "net"
            squares = torch.from_numpy(samples(2))
            return export(_Program(net, readout, known), (squares,), dynamic_shapes=any_number, strict=False)
    except Exception as error:  # of the net's and the task's code, which may be a user's, and of the tracer: they may raise anything
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise PeoriaError(f"{what}: {type(error).__name__}: {said}; one that torch.export can trace", hint=_WEIGHTS_ALONE) from error


def as_torch(program: "ExportedProgram") -> bytes:
    """The program as a file of torch.export, ``model.pt2``."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def as_onnx(program: "ExportedProgram") -> bytes:
    """The program as a file of ONNX.

    Raises:
        PeoriaError: a package is not there, the net is too large, or it has what ONNX has not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise PeoriaError(f"--format onnx: no package {error.name}; onnx, onnxscript and onnxruntime", hint="pip install 'peoria[onnx]'") from None
    num_bytes = sum(tensor.nbytes for tensor in program.state_dict.values())
    if num_bytes >= MOST_ONNX_BYTES:
        raise PeoriaError(f"--format onnx: {num_bytes:,} bytes of weights; less than {MOST_ONNX_BYTES:,}", hint="--format torch takes any")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(program, (), dynamo=True, verbose=False, output_names=list(OUTPUTS), external_data=False)
        assert made is not None
        data: bytes = made.model_proto.SerializeToString()
    except Exception as error:  # of packages whose own errors have no common kind
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise PeoriaError(f"--format onnx: {type(error).__name__}: {said}; a net that ONNX has all operations of", hint="--format torch") from error
    return data


def run_torch(data: bytes, squares: np.ndarray) -> dict[str, np.ndarray]:
    """What a file of torch.export says of squares, uint8 [N, 256, 256, 3]."""
    program = torch.export.load(io.BytesIO(data)).module()
    with torch.inference_mode():
        return {name: found.numpy() for name, found in program(torch.from_numpy(squares)).items()}


def run_onnx(data: bytes, squares: np.ndarray) -> dict[str, np.ndarray]:
    """As `run_torch`, of a file of ONNX."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"squares": squares}), strict=True))


RUNS = {"torch": run_torch, "onnx": run_onnx}


def refuse_other(form: str, data: bytes, net: PopularityNet, fitted: FittedTask) -> None:
    """Runs the file as its users will, on another number of pictures than it was traced with.

    Raises:
        PeoriaError: it says something else than the net.
    """
    squares = samples(3)
    outputs = forward_all(net, ArrayPictures(squares), device=torch.device("cpu"), autocast=None)
    found = RUNS[form](data, squares)
    for name, right in (("score", fitted.score(outputs)), ("value", fitted.predict(outputs))):
        apart = np.abs(found[name] - right) / np.maximum(1.0, np.abs(right))
        if not (apart <= NEAR).all():
            raise PeoriaError(
                f"--format {form}: a {name} differs from the net's by {apart.max():.1g}; at most {NEAR:g}", hint="--format torch" * (form == "onnx")
            )


def samples(num: int) -> np.ndarray:
    """Squares with coarse and fine structure, uint8 [num, 256, 256, 3]; the same each time."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 192, (num, 16, 16, 3), dtype=np.uint8).repeat(STORED_PX // 16, 1).repeat(STORED_PX // 16, 2)
    return coarse + random.integers(0, 64, coarse.shape, dtype=np.uint8)
