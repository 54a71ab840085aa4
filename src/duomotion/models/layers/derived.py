"""What is computed from a weight and stays valid until the weight changes."""

from collections.abc import Callable, Hashable

from torch import Tensor


class Derived:
    """Keeps one tensor that is computed from a weight; copies of a network start without it."""

    def __init__(self) -> None:
        self._kept: tuple[Hashable, Tensor, Tensor] | None = None

    def get(self, weight: Tensor, compute: Callable[[], Tensor], key: Hashable = None) -> Tensor:
        """What `compute` gives; called anew where the weight or `key` is another than before."""
        state = (weight.data_ptr(), weight._version, weight.dtype, key)
        if self._kept is None or self._kept[0] != state:
            # The weight is held as well, so that no other weight comes to lie where it was.
            self._kept = (state, weight.detach(), compute())
        return self._kept[-1]

    def __deepcopy__(self, memo: dict[int, object]) -> "Derived":
        return Derived()

    def __reduce__(self) -> tuple[type["Derived"], tuple[()]]:
        return Derived, ()
