# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of many places comes first, of those that have room: a tournament tree, so that nobody looks at all of them for each.

Pure. It knows numbers only: a place has a key, the least of which wins, and some amounts that are free.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf

Key = tuple[float, ...]
_LAST: Key = (inf,)


class Openings:
    """Places 0 … n-1. Finding one and changing one take time in the logarithm of their number, but for what is looked at and refused.

    Above each two are the lesser key of both and the most that is free of each amount in either. Places that `find` has looked at in vain
    are in `short` (they have too little) and `held` (they have enough, and are held back); where those become many, and would be looked
    at again and again, `shut` keeps them out of its way.
    """

    def __init__(self, keys: Sequence[Key], free: Sequence[tuple[float, ...]], amounts: int) -> None:
        self.size = 1 << max(0, len(keys) - 1).bit_length()
        self._nothing = (-1,) * amounts
        self._keys: list[Key] = [_LAST] * (2 * self.size)
        self._free: list[tuple[float, ...]] = [self._nothing] * (2 * self.size)
        self._keys[self.size : self.size + len(keys)] = keys
        self._free[self.size : self.size + len(free)] = free
        self._shut: dict[str, dict[int, tuple[float, ...]]] = {}
        self.short: list[int] = []
        self.held: list[int] = []
        for at in range(self.size - 1, 0, -1):
            self._join(at)

    def _join(self, at: int) -> bool:
        """Make one place of the tree anew from the two below it; whether it has changed."""
        keys, free = self._keys, self._free
        left, right = keys[2 * at], keys[2 * at + 1]
        key = left if left <= right else right
        most = tuple(map(max, free[2 * at], free[2 * at + 1]))
        if key == keys[at] and most == free[at]:
            return False
        keys[at], free[at] = key, most
        return True

    def change(self, place: int, key: Key, free: tuple[float, ...]) -> None:
        """Say what a place has now."""
        at = place + self.size
        self._keys[at], self._free[at] = key, free
        self._rise(at)

    def _rise(self, at: int) -> None:
        while at > 1:
            at //= 2
            if not self._join(at):
                return

    def find(self, wants: tuple[float, ...], without: Callable[[int], bool]) -> int | None:
        """The place with the least key that has as much of everything, and that `without` does not hold back."""
        keys, free, size = self._keys, self._free, self.size
        best, found = _LAST, None
        ahead = [1]
        while ahead:
            at = ahead.pop()
            if keys[at] >= best:
                continue
            fits = True
            for want, there in zip(wants, free[at]):
                if want > there:
                    fits = False
                    break
            if at >= size:
                place = at - size
                if not fits:
                    self.short.append(place)
                elif without(place):
                    self.held.append(place)
                else:
                    best, found = keys[at], place
            elif fits:
                first = 2 * at
                ahead += (first + 1, first) if keys[first] <= keys[first + 1] else (first, first + 1)
        return found

    def shut(self, places: Collection[int], why: str) -> None:
        """Leave these out until they are let in again. None of them may be changed meanwhile."""
        apart = self._shut.setdefault(why, {})
        for place in places:
            at = place + self.size
            if self._free[at] is not self._nothing:
                apart[place] = self._free[at]
                self._free[at] = self._nothing
                self._rise(at)

    def reopen(self, why: str) -> None:
        """Let in again those that were left out for this."""
        for place, free in self._shut.pop(why, {}).items():
            self._free[place + self.size] = free
            self._rise(place + self.size)
