"""
Certificates that every verifier must refuse, each for one reason of its own: a chain that does not hold, a time that is over, a
key that is weak, a name that is not one SPIFFE ID, a use that is not allowed. Whoever presents one has its key.
"""

import os
import shutil

from ca import CA, CURVE, LEAF, openssl

ID = "spiffe://cluster.local/ns/shop/sa/web"
NAME = f"critical,URI:{ID}"


def leaf(**changes):
    """The extensions of a good leaf, but for some; None leaves one out. `subjectAltName` is first where it is changed."""
    extensions = {"subjectAltName": NAME, **LEAF, **changes}
    return {name: value for name, value in extensions.items() if value is not None}


def uri(text):
    return leaf(subjectAltName=f"critical,URI:{text}")


def der(*parts):
    """SEQUENCE of the parts, as openssl.cnf takes a raw extension."""
    return "DER:" + encode(0x30, b"".join(parts)).hex(":")


def encode(tag, content):
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def uri_name(content):
    return encode(0x86, content)


# What is wrong with the leaf itself: its extensions, and how it is signed.
LEAVES = {
    "no_name": leaf(subjectAltName=None),
    "two_ids": leaf(subjectAltName=f"{NAME},URI:spiffe://cluster.local/ns/shop/sa/db"),
    "three_ids": leaf(subjectAltName=f"{NAME},URI:spiffe://cluster.local/a,URI:spiffe://cluster.local/b"),
    "the_same_id_twice": leaf(subjectAltName=f"{NAME},URI:{ID}"),
    "an_id_and_a_url": leaf(subjectAltName=f"{NAME},URI:https://cluster.local/"),
    "dns_name_only": leaf(subjectAltName="DNS:web.shop"),
    "dns_name_that_looks_like_an_id": leaf(subjectAltName=f"DNS:{ID}"),
    "email_that_looks_like_an_id": leaf(subjectAltName=f"email:{ID}"),
    "other_name": leaf(subjectAltName="otherName:1.2.3.4;UTF8:" + ID),
    "empty_uri": leaf(subjectAltName=der(uri_name(b""))),
    "no_path": uri("spiffe://cluster.local"),
    "root_path": uri("spiffe://cluster.local/"),
    "trailing_slash": uri(f"{ID}/"),
    "empty_segment": uri("spiffe://cluster.local/ns//web"),
    "dot_segment": uri("spiffe://cluster.local/ns/./web"),
    "dot_dot_segment": uri("spiffe://cluster.local/ns/shop/sa/x/../web"),
    "percent_encoding": uri("spiffe://cluster.local/ns/shop/sa/%77eb"),
    "scheme_in_capitals": uri("SPIFFE://cluster.local/ns/shop/sa/web"),
    "scheme_https": uri("https://cluster.local/ns/shop/sa/web"),
    "scheme_missing": leaf(subjectAltName=der(uri_name(b"cluster.local/ns/shop/sa/web"))),
    "trust_domain_in_capitals": uri("spiffe://CLUSTER.LOCAL/ns/shop/sa/web"),
    "trust_domain_empty": uri("spiffe:///ns/shop/sa/web"),
    "trust_domain_foreign": uri("spiffe://other.example/ns/shop/sa/web"),
    "trust_domain_longer": uri("spiffe://cluster.local.evil/ns/shop/sa/web"),
    "trust_domain_shorter": uri("spiffe://cluster.loca/ns/shop/sa/web"),
    "port": uri("spiffe://cluster.local:443/ns/shop/sa/web"),
    "user_info": uri("spiffe://admin@cluster.local/ns/shop/sa/web"),
    "query": uri(f"{ID}?admin"),
    "fragment": leaf(subjectAltName=der(uri_name(f"{ID}#admin".encode()))),
    "star": uri("spiffe://cluster.local/ns/shop/sa/*"),
    "zero_inside": leaf(subjectAltName=der(uri_name(ID.encode() + b"\0.evil"))),
    "zero_behind": leaf(subjectAltName=der(uri_name(ID.encode() + b"\0"))),
    "not_ascii": leaf(subjectAltName=der(uri_name("spiffe://cluster.local/ns/shop/sa/wéb".encode()))),
    "space": leaf(subjectAltName=der(uri_name(ID.encode() + b" "))),
    "line_break": leaf(subjectAltName=der(uri_name(ID.encode() + b"\nevil"))),
    "too_long": leaf(subjectAltName=der(uri_name(b"spiffe://cluster.local/" + b"a" * 2100))),
    "names_malformed": leaf(subjectAltName="DER:30:05:86:09:61"),
    "names_of_ten_thousand": leaf(subjectAltName=der(*(encode(0x82, b"a%d.example" % i) for i in range(10000)))),
    "is_a_ca": leaf(basicConstraints="critical,CA:TRUE"),
    "constraints_malformed": leaf(basicConstraints="critical,DER:30:03:01:01"),
    "may_sign_certificates": leaf(keyUsage="critical,digitalSignature,keyCertSign"),
    "may_sign_crls": leaf(keyUsage="critical,digitalSignature,cRLSign"),
    "no_key_usage": leaf(keyUsage=None),
    "may_not_sign": leaf(keyUsage="critical,keyEncipherment"),
    "key_usage_malformed": leaf(keyUsage="critical,DER:04:01:80"),
    "for_servers_only": leaf(extendedKeyUsage="serverAuth"),
    "for_clients_only": leaf(extendedKeyUsage="clientAuth"),
    "for_email": leaf(extendedKeyUsage="emailProtection"),
    "for_code": leaf(extendedKeyUsage="codeSigning"),
    "for_time_stamps": leaf(extendedKeyUsage="critical,timeStamping"),
    "unknown_critical_extension": leaf(**{"1.2.3.4.5": "critical,DER:05:00"}),
    "hundred_kilobytes": leaf(**{"1.2.3.4.5": "DER:" + encode(0x04, b"x" * 100000).hex(":")}),
}

# The same good leaf, signed otherwise.
SIGNED = {
    "expired": {"begins": -10, "ends": -1},
    "expired_a_minute_ago": {"begins": -1, "ends": -1 / 1440},
    "not_yet_valid": {"begins": 1, "ends": 2},
    "ends_before_it_begins": {"begins": 1, "ends": -1},
    "sha1": {"digest": "sha1"},
}

KEYS = {
    "rsa_1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "curve_of_224_bits": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"],
    "explicit_curve": ["-algorithm", "EC", *CURVE, "-pkeyopt", "ec_param_enc:explicit"],
}


def issue(ca, directory, roots, **options):
    return ca.issue(directory, ID, roots=roots, subject="/CN=web", **options)


def self_signed(directory, root):
    os.makedirs(directory)
    words = [word for name, value in leaf().items() for word in ("-addext", f"{name}={value}")]
    openssl("req", "-x509", "-newkey", "ec", *CURVE, "-nodes", "-keyout", f"{directory}/tls.key", "-subj", "/CN=self", "-out",
            f"{directory}/tls.crt", "-config", root._write("req.cnf", "[req]\ndistinguished_name = none\n[none]\n"), *words)  # pylint: disable=protected-access
    shutil.copy(root.certificate, f"{directory}/ca.crt")


def chains(at, root, authorities):
    """Good leaves whose chain does not hold. Yields names; each directory is at(name). `authorities` gets those in between."""

    def authority(name, **options):
        authorities.append(CA(at(name), parent=root, **options))
        return authorities[-1]

    self_signed(at("self_signed"), root)
    yield "self_signed"
    issue(CA(at("stranger.ca"), "cluster.local"), at("stranger"), [root])
    yield "stranger"
    directory = at("namesake")  # a root with the same name and another key
    issue(CA(at("namesake.ca"), root.trust_domain), directory, [root])
    yield "namesake"
    signer = root.issue(at("leaf_as_ca.signer"), "ns/shop/sa/signer")
    fake = CA(at("leaf_as_ca.ca"), parent=root)
    shutil.copy(f"{signer}/tls.crt", fake.certificate)
    shutil.copy(f"{signer}/tls.key", fake.key)
    issue(fake, at("signed_by_a_leaf"), [root])
    yield "signed_by_a_leaf"
    for name, extensions in {
            "intermediate_is_no_ca": {"basicConstraints": "critical,CA:FALSE", "keyUsage": "critical,keyCertSign"},
            "intermediate_may_not_sign": {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,digitalSignature"},
            "intermediate_is_for_others": {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,keyCertSign,cRLSign",
                                           "nameConstraints": "critical,permitted;URI:other.example"}}.items():
        issue(authority(f"{name}.ca", extensions=extensions), at(name), [root])
        yield name
    authority("path_too_long.ca", extensions={"basicConstraints": "critical,CA:TRUE,pathlen:0", "keyUsage": "critical,keyCertSign,cRLSign"})
    authorities.append(CA(at("path_too_long.below"), parent=authorities[-1]))
    issue(authorities[-1], at("path_too_long"), [root])
    yield "path_too_long"
    directory = issue(authority("intermediate_missing.ca"), at("intermediate_missing"), [root])
    certificate = openssl("x509", "-in", f"{directory}/tls.crt")
    with open(f"{directory}/tls.crt", "wb") as file:
        file.write(certificate)
    yield "intermediate_missing"
    deep = root
    for i in range(20):
        deep = CA(at(f"chain_of_twenty.{i}"), parent=deep)
        authorities.append(deep)
    issue(deep, at("chain_of_twenty"), [root])
    yield "chain_of_twenty"
    directory = issue(root, at("signature_changed"), [root])
    changed = bytearray(openssl("x509", "-in", f"{directory}/tls.crt", "-outform", "DER"))
    changed[-1] ^= 1
    with open(f"{directory}/tls.crt", "wb") as file:
        file.write(openssl("x509", "-inform", "DER", input=bytes(changed)))
    yield "signature_changed"
    directory = issue(root, at("revoked"), [root])
    root.revoke(f"{directory}/tls.crt")
    yield "revoked"
    revoked = authority("intermediate_revoked.ca")
    issue(revoked, at("intermediate_revoked"), [root])
    root.revoke(revoked.certificate)
    yield "intermediate_revoked"


def make(directory, root):
    """
    All of them, below `directory`, for verifiers that trust `root` (a CA of cluster.local) and its list of revocations,
    DIRECTORY/crl.pem. Returns their names.
    """
    os.makedirs(directory, exist_ok=True)

    def at(name):
        return os.path.join(str(directory), name)

    names = []
    for name, extensions in LEAVES.items():
        issue(root, at(name), [root], extensions=extensions)
        names.append(name)
    for name, options in SIGNED.items():
        issue(root, at(name), [root], extensions=leaf(), **options)
        names.append(name)
    for name, key in KEYS.items():
        issue(root, at(name), [root], extensions=leaf(), key=key)
        names.append(name)
    authorities = [root]
    names.extend(chains(at, root, authorities))
    with open(at("crl.pem"), "wb") as file:
        for ca in authorities:
            with open(ca.crl(at("one.pem")), "rb") as one:
                file.write(one.read())
    return names
