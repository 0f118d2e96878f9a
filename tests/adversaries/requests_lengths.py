"""Hostile clients: where a request's body ends.

The families are those in which two parsers of one connection disagree: a front end that counts by one field and a back
end that counts by the other (CL.TE, TE.CL), one that does not see an obfuscated coding (TE.TE), one that takes a body
for the next request (CL.0, 0.CL).
"""

from tests.adversaries.cases import Request, asks, passes, refused, up, waits

#: what a smuggler hides: the second request that only one of two parsers sees
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
TE = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"


def length(value: bytes) -> bytes:
    """A Content-Length line of this value."""
    return b"Content-Length: " + value


LENGTHS: tuple[Request, ...] = (
    passes("a length", "RFC 9112 6.2", asks(length(b"3"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("a length of zero", "RFC 9112 6.2", asks(length(b"0")), up(b"POST /a", body=b"")),
    passes("no length", "RFC 9112 6.3", asks(), up(b"POST /a")),
    passes("a body with GET", "RFC 9110 9.3.1", asks(length(b"3"), line=b"GET /a HTTP/1.1", body=b"abc"), up(b"GET /a", body=b"abc")),
    passes("CL.0: a body that looks like a request", "CL.0", asks(length(b"%d" % len(HIDDEN)), body=HIDDEN), up(b"POST /a", body=HIDDEN)),
    passes("CL.0 with GET", "CL.0", asks(length(b"%d" % len(HIDDEN)), line=b"GET /a HTTP/1.1", body=HIDDEN), up(b"GET /a", body=HIDDEN)),
    passes("0.CL: what follows a request without length is the next one", "0.CL", asks() + HIDDEN, up(b"POST /a"), up(b"GET /hidden")),
    passes("a length in HEAD", "RFC 9110 9.3.2", asks(length(b"2"), line=b"HEAD /a HTTP/1.1", body=b"ab"), up(b"HEAD /a", body=b"ab")),
    passes("leading zeros", "RFC 9110 8.6", asks(length(b"0003"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("blanks before the number", "RFC 9110 5.5", asks(length(b" \t 3"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("spaces behind the number", "RFC 9110 5.5", asks(length(b"3  "), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("a tab behind the number", "RFC 9110 5.5", asks(length(b"3\t"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("any case of the name", "RFC 9110 5.1", asks(b"cOnTeNt-LeNgTh: 3", body=b"abc"), up(b"POST /a", body=b"abc")),
    refused("two lengths that differ", "CL.CL, RFC 9112 6.3", asks(length(b"3"), length(b"0"), body=b"abc")),
    refused("two lengths that are equal", "CL.CL, RFC 9112 6.3", asks(length(b"3"), length(b"3"), body=b"abc")),
    refused("two lengths in any case", "CL.CL", asks(length(b"3"), b"content-length: 5", body=b"abc")),
    refused("a list of equal lengths", "RFC 9110 8.6", asks(length(b"3, 3"), body=b"abc")),
    refused("a list of lengths that differ", "RFC 9110 8.6", asks(length(b"3,5"), body=b"abc")),
    refused("a plus sign", "RFC 9110 8.6", asks(length(b"+3"), body=b"abc")),
    refused("a minus sign", "RFC 9110 8.6", asks(length(b"-3"), body=b"abc")),
    refused("minus zero", "RFC 9110 8.6", asks(length(b"-0"))),
    refused("hexadecimal", "RFC 9110 8.6", asks(length(b"0x3"), body=b"abc")),
    refused("a decimal point", "RFC 9110 8.6", asks(length(b"3.0"), body=b"abc")),
    refused("an exponent", "RFC 9110 8.6", asks(length(b"1e1"), body=b"abc")),
    refused("an underscore, as Python's int takes it", "RFC 9110 8.6", asks(length(b"1_0"), body=b"abc")),
    refused("digits of another script", "RFC 9110 8.6", asks(length(b"\xef\xbc\x93"), body=b"abc")),
    refused("a superscript, a digit to some", "RFC 9110 8.6", asks(length(b"\xb3"), body=b"abc")),
    refused("two numbers", "RFC 9110 8.6", asks(length(b"3 3"), body=b"abc")),
    refused("no value", "RFC 9110 8.6", asks(length(b""), body=b"abc")),
    refused("blanks alone", "RFC 9110 8.6", asks(length(b" \t "), body=b"abc")),
    refused("quoted", "RFC 9110 8.6", asks(length(b'"3"'), body=b"abc")),
    refused("with a parameter", "RFC 9110 8.6", asks(length(b"3;q=1"), body=b"abc")),
    refused("2^64 + 3: overflows to 3", "integer overflow", asks(length(b"18446744073709551619"), body=b"abc")),
    refused("2^64 - 1", "integer overflow", asks(length(b"18446744073709551615"), body=b"abc")),
    refused("2^63", "integer overflow", asks(length(b"9223372036854775808"), body=b"abc")),
    refused("a thousand digits", "integer overflow", asks(length(b"1" * 1000), body=b"abc")),
    refused("zeros without end before the number", "RFC 9110 8.6", asks(length(b"0" * 100 + b"3"), body=b"abc")),
    refused("more than is taken", "RFC 9110 15.5.14", asks(length(b"999999999999"), body=b"abc"), 413),
    refused("vertical tab before the number", "obfuscation", asks(length(b"\x0b3"), body=b"abc")),
    refused("NUL after the number", "obfuscation", asks(length(b"3\x00"), body=b"abc")),
    passes("content_length is no length", "underscores", asks(b"Content_Length: 3") + HIDDEN, up(b"POST /a"), up(b"GET /hidden")),
    waits("a body that is not all there", "early close", asks(length(b"4"), body=b"abc"), records=1),
)  # fmt: skip


def chunked(*fields: bytes, body: bytes = END) -> bytes:
    """A request with these fields and a chunked body."""
    return asks(*fields, body=body)


CODINGS: tuple[Request, ...] = (
    passes("chunked", "RFC 9112 7.1", chunked(TE, body=b"3\r\nabc\r\n" + END), up(b"POST /a", body=b"abc")),
    passes("chunked in any case", "RFC 9112 7", chunked(b"tRaNsFeR-eNcOdInG: ChUnKeD"), up(b"POST /a", body=b"")),
    passes("chunked and nothing in it", "RFC 9112 7.1", chunked(TE), up(b"POST /a", body=b"")),
    passes("chunked with GET", "RFC 9112 6.3", asks(TE, line=b"GET /a HTTP/1.1", body=b"3\r\nabc\r\n" + END), up(b"GET /a", body=b"abc")),
    passes("a chunked body that looks like a request", "CL.0", chunked(TE, body=b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END), up(b"POST /a", body=HIDDEN)),
    refused("CL.TE", "CL.TE, RFC 9112 6.1", asks(length(b"6"), TE, body=END + b"G")),
    refused("TE.CL", "TE.CL, RFC 9112 6.1", asks(TE, length(b"4"), body=b"5c\r\n" + HIDDEN + END)),
    refused("CL.TE with a length of zero", "CL.TE", asks(length(b"0"), TE, body=END)),
    refused("CL.TE with an empty length", "CL.TE", asks(length(b""), TE, body=END)),
    refused("CL.TE with a wrong length", "CL.TE", asks(length(b"x"), TE, body=END)),
    refused("TE.CL with an empty coding", "TE.CL", asks(b"Transfer-Encoding:", length(b"4"), body=b"abcd")),
    refused("TE.TE: twice", "TE.TE", chunked(TE, TE)),
    refused("TE.TE: chunked, then another", "TE.TE", chunked(TE, b"Transfer-Encoding: cow")),
    refused("TE.TE: another, then chunked", "TE.TE", chunked(b"Transfer-Encoding: cow", TE)),
    refused("TE.TE: chunked, then identity", "TE.TE", chunked(TE, b"Transfer-Encoding: identity")),
    refused("chunked, identity", "RFC 9112 6.1", chunked(b"Transfer-Encoding: chunked, identity")),
    refused("identity", "RFC 9112 7", chunked(b"Transfer-Encoding: identity", body=b"")),
    refused("identity with a length", "TE.CL", asks(b"Transfer-Encoding: identity", length(b"3"), body=b"abc")),
    refused("gzip, chunked", "RFC 9112 7.2", chunked(b"Transfer-Encoding: gzip, chunked")),
    refused("gzip alone", "RFC 9112 6.3", chunked(b"Transfer-Encoding: gzip", body=b"")),
    refused("chunked, chunked", "RFC 9112 6.1", chunked(b"Transfer-Encoding: chunked, chunked")),
    refused("an empty element", "RFC 9110 5.6.1", chunked(b"Transfer-Encoding: ,chunked")),
    refused("an empty element at the end", "RFC 9110 5.6.1", chunked(b"Transfer-Encoding: chunked,")),
    refused("a parameter", "RFC 9112 7", chunked(b"Transfer-Encoding: chunked;q=1")),
    refused("quoted", "obfuscation", chunked(b'Transfer-Encoding: "chunked"')),
    refused("xchunked", "obfuscation", chunked(b"Transfer-Encoding: xchunked")),
    refused("chunkedx", "obfuscation", chunked(b"Transfer-Encoding: chunkedx")),
    refused("chunked behind a blank in the word", "obfuscation", chunked(b"Transfer-Encoding: x chunked")),
    passes("spaces behind it", "RFC 9110 5.5", chunked(b"Transfer-Encoding: chunked  "), up(b"POST /a", body=b"")),
    refused("a tab behind it", "RFC 9110 5.5 allows it, llhttp does not", chunked(b"Transfer-Encoding: chunked\t")),
    refused("vertical tab before it", "obfuscation", chunked(b"Transfer-Encoding: \x0bchunked")),
    refused("form feed after it", "obfuscation", chunked(b"Transfer-Encoding: chunked\x0c")),
    refused("NUL after it", "obfuscation", chunked(b"Transfer-Encoding: chunked\x00")),
    refused("0xA0 before it, a blank to some", "obfuscation", chunked(b"Transfer-Encoding: \xa0chunked")),
    refused("space before the colon", "RFC 9112 5.1", chunked(b"Transfer-Encoding : chunked")),
    refused("tab before the colon", "RFC 9112 5.1", chunked(b"Transfer-Encoding\t: chunked")),
    refused("NUL in the name", "obfuscation", chunked(b"Transfer-Encoding\x00: chunked")),
    refused("space before the name", "RFC 9112 5.2", chunked(b" Transfer-Encoding: chunked")),
    refused("the value on the next line", "RFC 9112 5.2", chunked(b"Transfer-Encoding:\r\n chunked")),
    refused("a bare line feed before it", "RFC 9112 2.2", chunked(b"X: y\nTransfer-Encoding: chunked")),
    refused("a bare carriage return before it", "RFC 9112 2.2", chunked(b"X: y\rTransfer-Encoding: chunked")),
    refused("HTTP/1.0", "RFC 9112 6.1", asks(TE, line=b"POST /a HTTP/1.0", body=END)),
    refused("HTTP/1.0 with a length", "RFC 9112 6.1", asks(TE, length(b"5"), line=b"POST /a HTTP/1.0", body=END)),
    refused("with an offer of an upgrade", "RFC 9110 7.8", chunked(TE, b"Connection: Upgrade", b"Upgrade: h2c")),
    passes("transfer_encoding is no coding", "underscores", asks(b"Transfer_Encoding: chunked") + HIDDEN, up(b"POST /a"), up(b"GET /hidden")),
    passes("TE is of the connection", "RFC 9110 10.1.4", asks(b"TE: trailers, chunked"), up(b"POST /a")),
    passes("Connection takes no framing away", "RFC 9110 7.6.1", asks(length(b"3"), b"Connection: content-length, host", body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("Connection names the coding", "RFC 9110 7.6.1", asks(TE, b"Connection: transfer-encoding", body=b"1\r\na\r\n" + END), up(b"POST /a", body=b"a")),
)  # fmt: skip
