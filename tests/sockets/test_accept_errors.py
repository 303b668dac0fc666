"""Each error of accept(2) means one of three things."""

from __future__ import annotations

import errno

import pytest

from socketkit.sockets.accept_errors import is_peer_error, is_resource_shortage, shortage_backoff


@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNABORTED,
        errno.EPERM,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ETIMEDOUT,
    ],
    ids=errno.errorcode.get,
)
def test_peer_error_is_no_shortage(number: int) -> None:
    error = OSError(number, "")
    assert is_peer_error(error)
    assert not is_resource_shortage(error)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get)
def test_a_shortage_is_nobodys_misfortune(number: int) -> None:
    error = OSError(number, "")
    assert is_resource_shortage(error)
    assert not is_peer_error(error)


@pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EFAULT], ids=errno.errorcode.get)
def test_our_own_fault_is_neither(number: int) -> None:
    error = OSError(number, "")
    assert not is_resource_shortage(error)
    assert not is_peer_error(error)


def test_accept_backoff_to_one_second() -> None:
    """Pauses grow to a second and stay there."""
    backoff = shortage_backoff()
    assert [backoff.next() for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
