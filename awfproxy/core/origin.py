"""The rule that keeps web pages out of the ports.

A browser on the host can reach every local port, so any page could spend the port's key.  Two ways in, two answers:

* **DNS rebinding**: the page's own name resolves to a loopback address, so to the browser the request is same-origin.
  But its `Host` is that name.  Only names that no stranger can own in the public DNS are accepted: IP literals,
  `localhost`, names without a dot (containers), `host.docker.internal`, and what the settings allow.
* **Cross-origin requests**: the browser says so itself, in `Origin` (on everything but plain GETs) or in
  `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/).  `same-site` counts like `cross-site`: a site is told by its
  host alone, so a page of any other port of this host is same-site to us, and its plain GETs carry no `Origin`.

SDKs and agents send none of these headers.  `none` (typed in by a person) and `same-origin` pass: after the check of
`Host`, the origin is one of ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from awfproxy.core.message import RequestHead
from awfproxy.core.refusals import Refusal, foreign_host, foreign_origin

#: bytes of a Host value: a DNS name has at most 253 (RFC 1035 section 2.3.4), then colon and port
HOST_MAX: Final = 260

_authority = re.compile(rb"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9._-]+))(?::\d{0,5})?").fullmatch
_octet = rb"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ipv4 = re.compile(rb"(?:%b\.){3}%b" % (_octet, _octet)).fullmatch


def foreign(
    head: RequestHead, allowed_hosts: frozenset[bytes], allowed_origins: frozenset[bytes] | None
) -> Refusal | None:
    """The refusal of a request that a page of a stranger may have made; None: it may pass.

    :param allowed_hosts: names without port, lower case
    :param allowed_origins: as browsers send them, `scheme://host[:port]` in lower case (or `null`); None: no
        setting could allow one
    """
    fields = head.fields
    host = fields.get(b"host", b"")
    if not (len(host) <= HOST_MAX and _local(host)) and _name(host) not in allowed_hosts:
        return foreign_host()
    if b"origin" in fields:
        # `fields` has the last of several only
        sent = (value.strip().lower() for name, _, value in head.headers if name == b"origin")
        if allowed_origins and allowed_origins.issuperset(sent):
            return None
        return foreign_origin(allowed_origins is not None)
    if b"sec-fetch-site" in fields and any(
        value.strip().lower() not in (b"none", b"same-origin")
        for name, _, value in head.headers
        if name == b"sec-fetch-site"
    ):
        return foreign_origin(allowed_origins is not None)
    return None


@lru_cache(maxsize=64)
def _local(host: bytes) -> bool:
    """Whether no stranger can own ``host`` (with or without port).  Cached: a port sees the same few values."""
    found = _authority(host)
    if found is None:
        return False
    if found[1] is not None:
        try:
            IPv6Address(found[1].decode("ascii"))
        except AddressValueError:
            return False
        return True
    name = found[2].lower()
    return b"." not in name or name == b"host.docker.internal" or _ipv4(name) is not None


def _name(host: bytes) -> bytes | None:
    """``host`` without port, in lower case; None: it is not a host."""
    found = _authority(host) if len(host) <= HOST_MAX else None
    if found is None:
        return None
    name: bytes = found[1] if found[1] is not None else found[2]
    return name.lower()
