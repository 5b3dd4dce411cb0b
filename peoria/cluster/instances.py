"""What kinds of machine have: AWS's GPU instances, as (vCPUs, GPUs). Those that are not here are not judged."""

GPU_INSTANCES: dict[str, tuple[int, int]] = {
    **{f"g4dn.{size}": found for size, found in {"xlarge": (4, 1), "2xlarge": (8, 1), "4xlarge": (16, 1), "8xlarge": (32, 1)}.items()},
    "g4dn.12xlarge": (48, 4),
    "g4dn.16xlarge": (64, 1),
    "g4dn.metal": (96, 8),
    **{
        f"{family}.{size}": found
        for family in ("g5", "g6", "g6e")
        for size, found in {
            "xlarge": (4, 1),
            "2xlarge": (8, 1),
            "4xlarge": (16, 1),
            "8xlarge": (32, 1),
            "12xlarge": (48, 4),
            "16xlarge": (64, 1),
            "24xlarge": (96, 4),
            "48xlarge": (192, 8),
        }.items()
    },
    "p3.2xlarge": (8, 1),
    "p3.8xlarge": (32, 4),
    "p3.16xlarge": (64, 8),
    "p3dn.24xlarge": (96, 8),
    "p4d.24xlarge": (96, 8),
    "p4de.24xlarge": (96, 8),
    "p5.4xlarge": (16, 1),
    "p5.48xlarge": (192, 8),
    "p5e.48xlarge": (192, 8),
    "p5en.48xlarge": (192, 8),
}
_WITHOUT = ("a", "c", "d", "h", "i", "m", "r", "t", "u", "x", "z")  # families of AWS that have no accelerator


def gpus_of(instance: str) -> int | None:
    """How many GPUs an instance of AWS has; None where that is not known here."""
    if instance in GPU_INSTANCES:
        return GPU_INSTANCES[instance][1]
    return 0 if instance.startswith(_WITHOUT) and not instance.startswith("inf") and "." in instance else None


def cpus_of(instance: str) -> int | None:
    """Of a GPU instance of AWS; None where that is not known here."""
    return GPU_INSTANCES[instance][0] if instance in GPU_INSTANCES else None
