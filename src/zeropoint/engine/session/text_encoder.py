"""`TextEncoder`: an embedding model of BERT's family, such as all-MiniLM-L6-v2. It embeds and writes no text.

It runs in torch, which is read and trained here anyway: these models are small, and one pass reads a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

from zeropoint.engine.session.embed import check_pooling, pool
from zeropoint.engine.session.process_bound import ProcessBound
from zeropoint.errors import BadInput, ContextFull, MachineError
from zeropoint.tokenizers.formats.bert import encode_document
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.model import GgufModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.weights.open_model import OpenedModel

__all__ = ["TextEncoder", "is_encoder", "load_encoder"]


def is_encoder(path: Path) -> bool:
    """Whether a model on disk is an encoder, from its metadata alone. Raises BadInput, BadModelFile."""
    from zeropoint import families
    from zeropoint.weights.hf_folder import read_config
    from zeropoint.weights.open_model import gguf_blueprint, locate, open_file

    location = locate(path)
    if location.kind == "hf":
        config = read_config(path)
        blueprint = families.for_hf(config, f"{path}/config.json").from_hf(config)
    else:
        file = open_file(location)
        if not isinstance(file, GgufModel):
            return False
        blueprint = gguf_blueprint(file)
    return not blueprint.is_decoder and not blueprint.encoder


def load_encoder(path: Path, name: str, notify: Callable[[str], None] = lambda text: None) -> TextEncoder:
    """Load an encoder from a GGUF file or a Hugging Face folder. Raises BadInput, BadModelFile, DiskError,
    MachineError without torch."""
    from zeropoint.weights.open_model import open_model

    if find_spec("torch") is None:
        raise MachineError(f"{name} is an encoder, which runs in torch; install it: pip install torch")
    return TextEncoder(open_model(path), name, notify)


class TextEncoder(ProcessBound):
    """An encoder with the part of `Model` that embedding needs. blueprint, tokenizer: its parts."""

    def __init__(self, opened: OpenedModel, name: str, notify: Callable[[str], None]) -> None:
        from zeropoint.engine.torch.text_encoder import TorchTextEncoder

        self.blueprint, self.name = opened.blueprint, name
        self.n_ctx = opened.blueprint.n_ctx
        file = opened.file
        if not isinstance(file, GgufModel):
            from zeropoint.convert.model_metadata import tokenizer_metadata

            metadata = tokenizer_metadata(opened, notify)
            self.tokenizer = load_tokenizer(SimpleNamespace(metadata=metadata, paths=[file.path]))
        else:
            self.tokenizer = load_tokenizer(file)
        self._encoder: TorchTextEncoder | None = TorchTextEncoder(opened)

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights."""
        return 0 if self._encoder is None else self._encoder.n_bytes

    @property
    def memory_bytes(self) -> int:
        """Memory of the weights: an encoder has no cache."""
        return self.weight_bytes

    def embed(
        self, texts: str | Sequence[str | Sequence[int]], *, pooling: str = "mean", normalize: bool = True
    ) -> NDArray[np.float32]:
        """A vector for each text (or list of token ids), of length 1 if `normalize`: float32 [N, D].

        pooling: the mean of the last hidden states, that of the last token, or of the first ("cls").
        Raises BadInput, ContextFull.
        """
        import numpy as np

        check_pooling(pooling)
        if self._encoder is None:
            raise BadInput("this model is closed; load it again")
        ids = [self.document(text) for text in ([texts] if isinstance(texts, str) else texts)]
        states = self._encoder.hidden(ids)
        vectors = np.empty((len(ids), self.blueprint.d_model), np.float32)
        for row, states_TD in enumerate(states):
            vectors[row] = pool(states_TD, pooling)
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def document(self, text: str | Sequence[int]) -> list[int]:
        """Token ids of a text with the tokens around it; ids are used verbatim.

        Raises BadInput, ContextFull.
        """
        ids = encode_document(self.tokenizer, text).ids if isinstance(text, str) else list(text)
        if not len(text):
            raise BadInput("the text is empty; an embedding needs at least one token")
        if len(ids) > self.n_ctx:
            raise ContextFull(
                f"the text has {len(ids)} tokens, and {self.name} reads at most {self.n_ctx}; shorten it"
            )
        return ids

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, with the tokens that this kind of model reads around it."""
        return encode_document(self.tokenizer, text).ids

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self.tokenizer.decode(ids)

    @property
    def template(self) -> NoReturn:
        """Raises BadInput: an encoder has no conversations."""
        raise BadInput(f"{self.name} is an encoder: it turns texts into vectors and writes none")

    def encode_chat(self, *_: object, **__: object) -> list[int]:
        """Raises BadInput."""
        return self.template

    def close(self) -> None:
        """Free the weights."""
        self._encoder = None

    def __enter__(self) -> TextEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
