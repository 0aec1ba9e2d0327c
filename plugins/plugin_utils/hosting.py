# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's customers, as VPSs and as the lists of the roles that run in them, for C(playbooks/hosting.yml).

Pure. Nothing is remembered here: what an earlier run has made is known by the labels of the VPSs that it has made.
"""

from __future__ import annotations

import glob
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.mainline.vps.plugins.module_utils.core import limits
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, printable, shown
from ansible_collections.mainline.vps.plugins.module_utils.core.parse import LONGEST_NAME, parse_name
from ansible_collections.mainline.vps.plugins.plugin_utils import dns
from ansible_collections.mainline.vps.plugins.plugin_utils.given import guess

# Labels of a VPS: whose hosting it is of, which part, the customer, and the customer's domain.
OF, PART, CUSTOMER, DOMAIN = "hosting", "hosting-part", "hosting-customer", "hosting-domain"
KEYS = ("name", "domain", "plan", "title", "locale", "email", "mailboxes", "aliases", "quota", "records", "state")
RECORD = ("name", "type", "value", "ttl")
STATES = ("present", "absent")
# What all customers share: the limits of each VPS, and the ports of the node that lead to it.
SERVICES: dict[str, dict[str, str]] = {
    "db": {"memory": "1G", "processes": "500", "diskspace": "20G"},
    "mail": {"memory": "1G", "processes": "500", "diskspace": "20G"},
    "dns": {"memory": "256M", "processes": "200", "diskspace": "4G"},
    "proxy": {"memory": "512M", "processes": "300", "diskspace": "4G"},
}
PORTS: dict[str, tuple[tuple[str, int], ...]] = {
    "mail": (("tcp", 25), ("tcp", 465), ("tcp", 587), ("tcp", 993)),
    "dns": (("tcp", 53), ("udp", 53)),
    "proxy": (("tcp", 80), ("tcp", 443)),
}
ROLES = {"db": "mariadb", "mail": "mail", "dns": "dns", "proxy": "proxy", "site": "wordpress"}
PLANS: dict[str, dict[str, str]] = {
    "small": {"memory": "512M", "cpulimit": "100", "processes": "300", "diskspace": "10G"},
    "large": {"memory": "2G", "cpulimit": "200", "processes": "600", "diskspace": "40G"},
}
# To the database, of a site at a time: as many as PHP has workers in the plan `large`, and not all that a database of 1G has (56).
CONNECTIONS = 40
# The mailbox that a site's own mail is sent by.
SENDER = "wordpress"
# Those that role mail makes in each domain.
ALWAYS = ("abuse", "postmaster")
_SITE = re.compile(r"[a-z]([a-z0-9-]{0,26}[a-z0-9])?")  # what a site, its Unix user and its database can be called
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"({_LABEL}\.)+{_LABEL}")
# As role mail takes them.
_SIZE = re.compile(r"[1-9][0-9]*[KMGT]")
_LOCAL = re.compile(r"(?!.{65})[a-z0-9_](\.?[a-z0-9_-])*")
_ANYBODY = re.compile(rf"[^\s@,:\"<>]+@({_LABEL}\.)+{_LABEL}", re.IGNORECASE)
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LOCALE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?(_[a-z]+)?")


@dataclass(frozen=True)
class Provider:
    """What is everybody's."""

    name: str
    domain: str
    public_address: str
    email: str
    node_address: str
    template: str
    pool: str
    mail: bool
    plans: Mapping[str, Mapping[str, Any]]
    services: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, str]
    secrets: str

    @property
    def shared(self) -> list[str]:
        """The VPSs that all customers share, by what they do."""
        return [service for service in SERVICES if service != "mail" or self.mail]

    def vps(self, what: str) -> str:
        """What the VPS of a service, or of a customer, is called."""
        return f"{self.name}-{what}"


@dataclass(frozen=True)
class Customer:
    """Somebody with a domain, whose site is on a VPS of its own."""

    name: str
    domain: str
    plan: str
    title: str
    locale: str
    email: str
    mailboxes: tuple[str, ...]
    aliases: Mapping[str, Sequence[str]]
    quota: str
    records: tuple[Mapping[str, Any], ...]
    gone: bool

    @property
    def names(self) -> tuple[str, str]:
        """The names that the site answers to."""
        return self.domain, f"www.{self.domain}"

    @property
    def database(self) -> str:
        """What the database and its user are called: never as something of the server's own."""
        return "wp_" + self.name.replace("-", "_")


def made(customers: object, provider: Mapping[str, Any], *, there: object = (), addresses: object = None, records: object = None) -> dict[str, Any]:
    """All that is to be. Raises VpsError for what cannot be, before anything is touched.

    C(there) has the VPSs of the node, as vps_info returns them. C(addresses) has those of the VPSs by their names, of which those count that are known.
    C(records) has what the role mail says of domains, as C(dns_zones) takes it.
    """
    whose = read_provider(provider)
    listed = read(customers, whose)
    present = [one for one in listed if not one.gone]
    leaving = _leaving(listed, whose, _mapping_list("vpss", there))
    known = {str(name): str(address) for name, address in _mapping("addresses", addresses or {}).items()}
    more = _mapping("records", records or {})
    zones = _dns(present, whose, more)
    _refuse_zones(zones["dns_zones"], present)
    return {
        "vpss": [*(_shared_vps(service, whose) for service in whose.shared), *(_site_vps(one, whose) for one in present)],
        "leaving": leaving,
        "forgotten": [pattern for one in listed if whose.vps(one.name) in leaving for pattern in _secrets(one, whose)],
        "hosts": [
            *({"name": whose.vps(service), "part": service, "role": ROLES[service]} for service in whose.shared),
            *({"name": whose.vps(one.name), "part": "site", "role": ROLES["site"]} for one in present),
        ],
        **_database(listed, whose, known),
        **_mail(listed, whose),
        **zones,
        "proxy_sites": _proxy(present, whose, known),
        "wordpress_sites": {whose.vps(one.name): [_wordpress(one, whose, known)] for one in present},
    }


def nothing() -> dict[str, Any]:
    """The same lists, empty."""
    lists = ["vpss", "leaving", "forgotten", "hosts", "mariadb_databases", "mariadb_users", "mail_domains", "mail_mailboxes", "mail_aliases"]
    return {**{name: [] for name in [*lists, "dns_nameservers", "dns_zones", "proxy_sites"]}, "wordpress_sites": {}}


# What is asked for.


def read_provider(given: Mapping[str, Any]) -> Provider:
    """What is everybody's, read."""
    name = str(given.get("name") or "hosting")
    if not _SITE.fullmatch(name):
        raise VpsError(f"hosting_name: {shown(name)} cannot be used; it has up to 28 of a-z, 0-9 and '-', starts with a letter, and does not end with '-'.")
    domain = _domain("hosting_domain", given.get("domain"))
    address = _address("hosting_public_address", given.get("public_address"))
    email = str(given.get("email") or "")
    if not _MAIL.fullmatch(email):
        raise VpsError(f"hosting_email: {shown(email)} is no mail address; write for example hostmaster@example.com.")
    for option in ("node", "base"):
        _switch(f"hosting_{option}", given.get(option))
    services = _mapping("hosting_services", given.get("services") or {})
    plans = _mapping("hosting_plans", given.get("plans") or PLANS)
    for service in services:
        if service not in SERVICES:
            raise VpsError(f"hosting_services: there is no {shown(service)}; {guess(str(service), SERVICES)}they are {', '.join(SERVICES)}.")
    return Provider(
        name=name,
        domain=domain,
        public_address=address,
        email=email,
        node_address=_address("hosting_node_address", given.get("node_address") or address),
        template=str(given.get("template") or ""),
        pool=str(given.get("pool") or "default"),
        mail=_switch("hosting_mail", given.get("mail")),
        plans={str(plan): _limits(f"hosting_plans.{printable(plan, 60)}", given) for plan, given in plans.items()},
        services={service: {**sizes, **_limits(f"hosting_services.{service}", services.get(service) or {})} for service, sizes in SERVICES.items()},
        labels={str(key): str(value) for key, value in _mapping("hosting_labels", given.get("labels") or {}).items()},
        secrets=str(given.get("secrets") or "secrets"),
    )


def read(customers: object, provider: Provider) -> list[Customer]:
    """The customers, each looked at, and then with the others."""
    found: list[Customer] = []
    for number, given in enumerate(_mapping_list("hosting_customers", customers)):
        name = str(given.get("name") or "")
        where = f"hosting_customers[{printable(name, 60) if name else number}]"
        found.append(_customer(given, name, where, provider))
    owners: dict[str, str] = {f"{part}.{provider.domain}": "the provider" for part in ("ns1", "mail")}
    names: set[str] = set()
    for one in found:
        if one.name in names:
            raise VpsError(f"hosting_customers[{one.name}].name: there are two customers of this name; give each a name of its own.")
        names.add(one.name)
        for domain in one.names:
            if domain in owners:
                raise VpsError(f"hosting_customers[{one.name}].domain: {shown(domain)} is a name of {owners[domain]} already; a domain leads to one site.")
            owners[domain] = shown(one.name)
    _lead_somewhere([one for one in found if not one.gone])
    return found


def _customer(given: Mapping[str, Any], name: str, where: str, provider: Provider) -> Customer:
    for key in given:
        if key not in KEYS:
            raise VpsError(f"{where}.{printable(key, 60)}: there is no such option; {guess(str(key), KEYS)}a customer has {', '.join(KEYS)}.")
    if not name:
        raise VpsError(f"{where}.name: it is missing; VPS, site and database are called after it.")
    if not _SITE.fullmatch(name):
        raise VpsError(f"{where}.name: {shown(name)} cannot be used; it has up to 28 of a-z, 0-9 and '-', starts with a letter, and does not end with '-'.")
    if name in SERVICES:
        raise VpsError(f"{where}.name: {shown(name)} is what a VPS of the provider is called; give the customer another name.")
    if len(provider.vps(name)) > LONGEST_NAME:
        raise VpsError(f"{where}.name: {shown(provider.vps(name))} is too long for the name of a VPS; it has up to {LONGEST_NAME} characters.")
    parse_name(provider.vps(name), option=f"{where}.name")
    state = str(given.get("state") or "present")
    if state not in STATES:
        raise VpsError(f"{where}.state: {shown(state)} is no state; {guess(state, STATES)}it is present or absent.")
    domain = _domain(f"{where}.domain", given.get("domain"))
    plan = str(given.get("plan") or next(iter(provider.plans), ""))
    if plan not in provider.plans:
        raise VpsError(f"{where}.plan: there is no plan {shown(plan)}; {guess(plan, provider.plans)}hosting_plans has {', '.join(provider.plans)}.")
    locale = str(given.get("locale") or "en_US")
    if not _LOCALE.fullmatch(locale):
        raise VpsError(f"{where}.locale: {shown(locale)} is no language; write for example de_DE.")
    email = str(given.get("email") or provider.email)
    if not _MAIL.fullmatch(email):
        raise VpsError(f"{where}.email: {shown(email)} is no mail address; write for example owner@{domain}.")
    if domain.startswith("www."):
        raise VpsError(f"{where}.domain: write {shown(domain[4:])}; its www. leads there by itself.")
    quota = str(given.get("quota") or "")
    if quota and not _SIZE.fullmatch(quota):
        raise VpsError(f"{where}.quota: {shown(quota)} is no size; write for example 2G.")
    mailboxes, aliases = _addresses(given, where, domain)
    return Customer(
        name=name,
        domain=domain,
        plan=plan,
        title=str(given.get("title") or domain),
        locale=locale,
        email=email,
        mailboxes=tuple(mailboxes),
        aliases=aliases,
        quota=quota,
        records=tuple(_zone_records(given, where)),
        gone=state == "absent",
    )


def _addresses(given: Mapping[str, Any], where: str, domain: str) -> tuple[list[str], dict[str, list[str]]]:
    """The mailboxes, and where aliases lead."""
    mailboxes = [one.lower() for one in _texts(f"{where}.mailboxes", given.get("mailboxes"))]
    aliases = {
        str(local).lower(): _texts(f"{where}.aliases.{printable(local, 60)}", to)
        for local, to in _mapping(f"{where}.aliases", given.get("aliases") or {}).items()
    }
    for option, locals_ in (("mailboxes", mailboxes), ("aliases", list(aliases))):
        for local in locals_:
            if not _LOCAL.fullmatch(local):
                raise VpsError(f"{where}.{option}: {shown(local)} cannot be used; write what is before the @{domain}, as in info.")
            if local == SENDER:
                raise VpsError(f"{where}.{option}: {shown(local)} is what the site sends its mail by; choose another one.")
    for local in mailboxes:
        if mailboxes.count(local) > 1 or local in aliases:
            raise VpsError(f"{where}.mailboxes: {shown(local)} is there twice; an address is one mailbox, or one alias.")
    for local, to in aliases.items():
        if not to:
            raise VpsError(f"{where}.aliases.{local}: it leads nowhere; name a mailbox, or an address elsewhere.")
        for who in to:
            if "@" not in who and who.lower() not in (*mailboxes, *aliases):
                meant = guess(who, mailboxes)
                raise VpsError(f"{where}.aliases.{local}: there is no mailbox {shown(who)}; {meant}list it in mailboxes, or write a whole address.")
            if "@" in who and not _ANYBODY.fullmatch(who):
                raise VpsError(f"{where}.aliases.{local}: {shown(who)} is no address; write for example ann@example.com.")
    return mailboxes, aliases


def _lead_somewhere(present: Sequence[Customer]) -> None:
    """An address of a customer's domain, wherever it stands, is one that there is."""
    there = {f"{local}@{one.domain}" for one in present for local in (*one.mailboxes, *one.aliases, SENDER, *ALWAYS)}
    domains = {one.domain for one in present}
    for one in present:
        for local, to in one.aliases.items():
            for who in to:
                if who.lower().partition("@")[2] in domains and who.lower() not in there:
                    where = f"hosting_customers[{one.name}].aliases.{local}"
                    raise VpsError(f"{where}: there is no mailbox {shown(who)}; {guess(who, sorted(there))}list it in the mailboxes of that domain.")


def _zone_records(given: Mapping[str, Any], where: str) -> Sequence[Mapping[str, Any]]:
    records = _mapping_list(f"{where}.records", given.get("records"))
    for record in records:
        for key in record:
            if key not in RECORD:
                raise VpsError(f"{where}.records: there is no such option as {shown(key)}; {guess(str(key), RECORD)}a record has {', '.join(RECORD)}.")
        if not record.get("type") or not record.get("value"):
            raise VpsError(f"{where}.records: {shown(record.get('name') or '@')} has no type, or no value; write for example {{type: A, value: 192.0.2.1}}.")
    return records


def _leaving(listed: Sequence[Customer], provider: Provider, there: Sequence[Mapping[str, Any]]) -> list[str]:
    """The VPSs that are to be removed. Refuses where a customer is there and not listed, and where a VPS of that name is somebody else's."""
    ours: dict[str, Mapping[str, str]] = {}
    others: set[str] = set()
    for vps in there:
        labels = vps.get("labels") or {}
        if labels.get(OF) == provider.name:
            ours[str(vps.get("name"))] = labels
        else:
            others.add(str(vps.get("name")))
    for name in [provider.vps(service) for service in provider.shared] + [provider.vps(one.name) for one in listed]:
        if name in others:
            raise VpsError(f"hosting_name: the node has a VPS {shown(name)} that is not of this hosting; choose another hosting_name, or remove that VPS.")
    names = {one.name: one for one in listed}
    for labels in ours.values():
        customer = labels.get(CUSTOMER)
        if customer and customer not in names:
            raise VpsError(
                f"hosting_customers: {shown(customer)} ({labels.get(DOMAIN)}) is on the node and is not listed; list it again, with 'state: absent' "
                "if it is to be removed with all its data."
            )
    for one in listed:
        before = ours.get(provider.vps(one.name), {}).get(DOMAIN)
        if one.gone and before not in (None, one.domain):
            raise VpsError(f"hosting_customers[{one.name}].domain: it was {shown(before)} so far; write that, so that what is removed is that customer's.")
    return [provider.vps(one.name) for one in listed if one.gone and provider.vps(one.name) in ours]


# What is made of it.


def _common(provider: Provider, part: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "state": "started",
        "template": provider.template,
        "addresses": [{"pool": provider.pool}],
        "onboot": True,
        "wait": "booted",
        "labels": {**provider.labels, OF: provider.name, PART: f"{provider.name}-{part}"},
        "firewall": {"in": {"default": "drop", "rules": rules}},
    }


def _from(provider: Provider, part: str) -> list[str]:
    return [f"label:{PART}={provider.name}-{part}"]


def _shared_vps(service: str, provider: Provider) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []
    for proto in ("tcp", "udp"):
        ports = [port for kind, port in PORTS.get(service, ()) if kind == proto]
        if ports:
            rules.append({"proto": proto, "ports": ports})
    if service == "db":
        rules = [{"proto": "tcp", "ports": [3306], "from": _from(provider, "site")}]
    vps = {
        "name": provider.vps(service),
        "description": f"{provider.domain}: {service}",
        **_common(provider, service, rules),
        "limits": dict(provider.services[service]),
        "publish": [{"host": port, "proto": proto, "address": provider.node_address} for proto, port in PORTS.get(service, ())],
    }
    if service == "mail":
        vps["hostname"] = f"mail.{provider.domain}"
    return vps


def _site_vps(one: Customer, provider: Provider) -> dict[str, Any]:
    vps = {
        "name": provider.vps(one.name),
        "description": f"{provider.domain}: {one.name}, {one.domain}",
        **_common(provider, "site", [{"proto": "tcp", "ports": [80], "from": _from(provider, "proxy")}]),
        "limits": dict(provider.plans[one.plan]),
    }
    vps["labels"] = {**vps["labels"], CUSTOMER: one.name, DOMAIN: one.domain}
    return vps


def _database(listed: Sequence[Customer], provider: Provider, known: Mapping[str, str]) -> dict[str, Any]:
    users = []
    for one in listed:
        address = known.get(provider.vps(one.name))
        if not one.gone and address:
            users.append({"name": one.database, "hosts": [address], "privileges": {one.database: "ALL"}, "connections": CONNECTIONS})
    return {
        "mariadb_databases": [{"name": one.database, "state": "absent" if one.gone else "present"} for one in listed],
        "mariadb_users": users,
    }


def _mail(listed: Sequence[Customer], provider: Provider) -> dict[str, Any]:
    if not provider.mail:
        return {"mail_domains": [], "mail_mailboxes": [], "mail_aliases": []}
    boxes: list[dict[str, Any]] = []
    for one in listed:
        if not one.gone:
            boxes.append({"address": f"{SENDER}@{one.domain}", "quota": "100M"})
            boxes += [{"address": f"{local}@{one.domain}", **({"quota": one.quota} if one.quota else {})} for local in one.mailboxes]
    aliases = [
        {"address": f"{local}@{one.domain}", "to": [who if "@" in who else f"{who}@{one.domain}" for who in to]}
        for one in listed
        if not one.gone
        for local, to in one.aliases.items()
    ]
    return {
        "mail_domains": [{"name": one.domain, "state": "absent" if one.gone else "present"} for one in listed],
        "mail_mailboxes": boxes,
        "mail_aliases": aliases,
    }


def _dns(present: Sequence[Customer], provider: Provider, more: Mapping[str, Any]) -> dict[str, Any]:
    zones: dict[str, list[Mapping[str, Any]]] = {provider.domain: []}
    if provider.mail:
        zones[provider.domain].append(_to("mail", provider))
    for one in present:
        zones[one.domain] = [*zones.get(one.domain, []), *_records(one, provider, more.get(one.domain)), *one.records]
    return {
        "dns_nameservers": [{"name": f"ns1.{provider.domain}", "addresses": [provider.public_address]}],
        "dns_zones": [{"name": name, "records": records} for name, records in zones.items()],
    }


def _refuse_zones(zones: Sequence[Mapping[str, Any]], present: Sequence[Customer]) -> None:
    """What role dns would refuse for all customers is one customer's slip."""
    for one in present:
        for complaint in dns.wrong(next(zone for zone in zones if zone["name"] == one.domain)):
            raise VpsError(f"hosting_customers[{one.name}].records: {complaint.removeprefix('dns_zones: ')}")


def _secrets(one: Customer, provider: Provider) -> Iterator[str]:
    """Patterns of the files on the controller with what roles have generated for a customer: who has the domain next is not to get the same."""
    folder = glob.escape(provider.secrets)
    yield f"{folder}/{provider.vps(one.name)}/*"
    yield f"{folder}/{provider.vps('db')}/mariadb-{one.database}"
    yield f"{folder}/{provider.vps('mail')}/mail-*@{one.domain}"


def _records(one: Customer, provider: Provider, of_mail: Sequence[Mapping[str, Any]] | None) -> Iterator[Mapping[str, Any]]:
    """What a customer's zone has: the site, and what is to be known of the mail. Each gives way to the customer's own of that name and type."""
    own = {_which(record) for record in one.records}
    if of_mail is None and provider.mail:
        of_mail = [{"name": "@", "type": "MX", "value": f"10 mail.{provider.domain}."}]
    for record in [_to("@", provider), _to("www", provider), *(of_mail or ())]:
        if _which(record) not in own:
            yield record


def _which(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record.get("name") or "@"), str(record.get("type") or "").upper()


def _to(name: str, provider: Provider) -> dict[str, Any]:
    """A name that leads to the public address."""
    return {"name": name, "type": "A" if ipaddress.ip_address(provider.public_address).version == 4 else "AAAA", "value": provider.public_address}


def _proxy(present: Sequence[Customer], provider: Provider, known: Mapping[str, str]) -> list[dict[str, Any]]:
    sites: list[dict[str, Any]] = []
    if provider.mail:  # whose certificate is obtained here, for port 80 is here
        sites.append({"name": "mail", "domains": [f"mail.{provider.domain}"], "redirect_to": f"https://{provider.domain}"})
    for one in present:
        address = known.get(provider.vps(one.name))
        if address:
            sites.append({"name": one.name, "domains": [one.domain], "redirect_from": [f"www.{one.domain}"], "backends": [_bracketed(address)]})
    return sites


def _wordpress(one: Customer, provider: Provider, known: Mapping[str, str]) -> dict[str, Any]:
    database = provider.vps("db")
    sender = f"{SENDER}@{one.domain}"
    smtp = {"smtp": {"host": f"mail.{provider.domain}", "port": 587, "encryption": "starttls", "user": sender, "from": sender}}
    return {
        "name": one.name,
        "domains": [one.domain],
        "title": one.title,
        "locale": one.locale,
        "admin_email": one.email,
        "database_host": _bracketed(known.get(database, database)),
        "database_name": one.database,
        "database_secret": f"{provider.secrets}/{database}/mariadb-{one.database}",
        **(smtp if provider.mail else {}),
    }


# What is given, looked at.


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _domain(option: str, given: object) -> str:
    if not given:
        raise VpsError(f"{option}: it is missing; write for example example.com.")
    text = str(given).lower().rstrip(".")
    if not _DOMAIN.fullmatch(text) or len(text) > 253:
        raise VpsError(f"{option}: {shown(given)} is no domain; write for example example.com, and other alphabets as in xn--bcher-kva.example.")
    return text


def _address(option: str, given: object) -> str:
    if not given:
        raise VpsError(f"{option}: it is missing; write for example 192.0.2.1.")
    try:
        return str(ipaddress.ip_address(str(given)))
    except ValueError:
        raise VpsError(f"{option}: {shown(given)} is no address; write for example 192.0.2.1.") from None


def _switch(option: str, given: object) -> bool:
    """What the filter bool makes of it, but for words that it takes for false because it does not know them."""
    if given in (None, ""):
        return given is None
    try:
        return boolean(given, strict=True)
    except TypeError:
        raise VpsError(f"{option}: {shown(given)} is neither true nor false; {guess(given, ('true', 'false'))}write one of them.") from None


def _mapping(option: str, given: object) -> Mapping:
    if not isinstance(given, Mapping):
        raise VpsError(f"{option}: {shown(given)} has no options; write for example {{name: value}}.")
    return given


def _limits(option: str, given: object) -> Mapping[str, Any]:
    found = _mapping(option, given)
    limits.parse(found, prefix=f"{option}.")
    return found


def _list(option: str, given: object, example: str) -> Sequence[Any]:
    if given is None:
        return []
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise VpsError(f"{option}: {shown(given)} is no list; write for example {example}.")
    return given


def _texts(option: str, given: object) -> list[str]:
    found = _list(option, given, "[info]")
    for one in found:
        if not isinstance(one, str) or not one:
            raise VpsError(f"{option}: {shown(one)} in it is no text; write for example [info].")
    return list(found)


def _mapping_list(option: str, given: object) -> Sequence[Mapping[str, Any]]:
    found = _list(option, given, "a line that begins with '- name:' for each")
    for entry in found:
        if not isinstance(entry, Mapping):
            raise VpsError(f"{option}: {shown(entry)} has no options; write for example {{name: …}}.")
    return found
