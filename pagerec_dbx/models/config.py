"""What a model is built from; it travels with the exported model, so it is plain data."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Name and sizes of a model; the counts include padding (0) and unknown (1)."""

    name: str
    title_count: int
    row_count: int
    device_count: int = 2
    location_count: int = 2
    history_length: int = 20
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 128, 64)
    dropout: float = 0.0  # share of each hidden layer's outputs that training sets to zero
    title_buckets: int | None = None  # titles share so many embeddings, chosen by hashing; None: each has its own
