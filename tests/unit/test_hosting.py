# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's customers: what becomes of them, and what is said of a mistake. All of it together runs in extensions/molecule/hosting."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.filter import hosting as hosting_file
from ansible_collections.mainline.vps.plugins.filter.hosting import hosting
from ansible_collections.mainline.vps.plugins.plugin_utils import dns
from ansible_collections.mainline.vps.plugins.plugin_utils.hosting import KEYS, PORTS, ROLES, SERVICES
from ansible_collections.mainline.vps.tests.contract import modules

ROOT = Path(__file__).parents[2]
PAGE = yaml.safe_load((ROOT / "playbooks/inventory/hosting.yml").read_text(encoding="utf-8"))["all"]["vars"]
PROVIDER = {"domain": "hosting.example", "public_address": "192.0.2.1", "email": "hostmaster@hosting.example", "template": "debian"}
BAKERY = {"name": "bakery", "domain": "bakery.example"}
CLUB = {"name": "my-club", "domain": "club.example", "mailboxes": ["info"], "aliases": {"board": ["info", "ann@example.com"]}}
LABELS = {"hosting": "hosting", "hosting-customer": "bakery", "hosting-domain": "bakery.example"}


def made(*customers, provider=None, **more):
    return hosting(list(customers), {**PROVIDER, **(provider or {})}, **more)


def test_nothing_is_wrong_with_nobody():
    assert made()["complaint"] == ""


def records(zones, name):
    (zone,) = [zone for zone in zones if zone["name"] == name]
    return {(record.get("name", "@"), record["type"]): record["value"] for record in zone["records"]}


def test_the_example_is_two_customers_of_six_lines_each_beside_what_they_share():
    lists = hosting(PAGE["hosting_customers"], {key: PAGE[f"hosting_{key}"] for key in ("domain", "public_address", "email")})
    assert [vps["name"] for vps in lists["vpss"]] == ["hosting-db", "hosting-mail", "hosting-dns", "hosting-proxy", "hosting-bakery", "hosting-cyclists"]
    text = (ROOT / "playbooks/inventory/hosting.yml").read_text(encoding="utf-8").partition("hosting_customers:\n")[2]
    assert [len(part.strip().splitlines()) for part in text.split("\n\n")] == [6, 6]


def test_the_vpss_are_what_vps_fleet_takes():
    parameters = modules.parameters("vps_fleet", vps=made(BAKERY, CLUB)["vpss"])
    for vps in parameters["vps"]:
        given = {key: value for key, value in vps.items() if value is not None}
        assert modules.SUBJECTS["vps_container"].parse(modules.parameters("vps_container", **given)).name == vps["name"]


def test_only_sites_get_to_the_database_and_only_the_proxy_to_sites():
    by_name = {vps["name"]: vps for vps in made(BAKERY)["vpss"]}
    assert by_name["hosting-db"]["firewall"]["in"] == {
        "default": "drop",
        "rules": [{"proto": "tcp", "ports": [3306], "from": ["label:hosting-part=hosting-site"]}],
    }
    assert by_name["hosting-bakery"]["firewall"]["in"]["rules"] == [{"proto": "tcp", "ports": [80], "from": ["label:hosting-part=hosting-proxy"]}]
    assert by_name["hosting-bakery"]["labels"]["hosting-part"] == "hosting-site" and by_name["hosting-proxy"]["labels"]["hosting-part"] == "hosting-proxy"
    assert "publish" not in by_name["hosting-bakery"] and by_name["hosting-db"]["publish"] == []


def test_ports_of_the_public_address_lead_to_what_is_shared():
    published = {vps["name"].partition("-")[2]: [(one["proto"], one["host"]) for one in vps["publish"]] for vps in made()["vpss"]}
    assert published == {"db": [], **{service: list(ports) for service, ports in PORTS.items()}}
    assert {one["address"] for vps in made()["vpss"] for one in vps["publish"]} == {"192.0.2.1"}
    behind = made(provider={"node_address": "10.0.0.5"})
    assert {one["address"] for vps in behind["vpss"] for one in vps["publish"]} == {"10.0.0.5"}
    assert records(behind["dns_zones"], "hosting.example") == {("mail", "A"): "192.0.2.1"}


def test_each_database_is_its_customers_alone_and_from_that_vps():
    lists = made(BAKERY, CLUB, addresses={"hosting-bakery": "10.0.0.1", "hosting-my-club": "10.0.0.2", "hosting-db": "10.0.0.3"})
    assert lists["mariadb_databases"] == [{"name": "wp_bakery", "state": "present"}, {"name": "wp_my_club", "state": "present"}]
    assert lists["mariadb_users"][1] == {"name": "wp_my_club", "hosts": ["10.0.0.2"], "privileges": {"wp_my_club": "ALL"}, "connections": 40}
    (site,) = lists["wordpress_sites"]["hosting-my-club"]
    assert (site["smtp"]["host"], site["smtp"]["user"]) == ("mail.hosting.example", "wordpress@club.example")
    assert (site["database_host"], site["database_secret"]) == ("10.0.0.3", "secrets/hosting-db/mariadb-wp_my_club")


def test_what_has_no_address_yet_is_left_out_where_one_is_needed():
    lists = made(BAKERY)
    assert lists["mariadb_users"] == [] and [site["name"] for site in lists["proxy_sites"]] == ["mail"]


def test_mailboxes_and_aliases_are_whole_addresses():
    lists = made(CLUB)
    assert lists["mail_mailboxes"] == [{"address": "wordpress@club.example", "quota": "100M"}, {"address": "info@club.example"}]
    assert lists["mail_aliases"] == [{"address": "board@club.example", "to": ["info@club.example", "ann@example.com"]}]


def test_zones_are_what_the_role_dns_takes_and_a_customers_own_record_takes_the_place_of_ours():
    own = {**BAKERY, "records": [{"type": "mx", "value": "10 mail.elsewhere.example."}, {"name": "shop", "type": "A", "value": "192.0.2.9"}]}
    lists = made(own, CLUB, records={"club.example": [{"name": "mail._domainkey", "type": "TXT", "value": "v=DKIM1; p=x"}]})
    assert records(lists["dns_zones"], "bakery.example") == {
        ("@", "A"): "192.0.2.1",
        ("www", "A"): "192.0.2.1",
        ("@", "mx"): "10 mail.elsewhere.example.",
        ("shop", "A"): "192.0.2.9",
    }
    assert ("mail._domainkey", "TXT") in records(lists["dns_zones"], "club.example")
    times = dict.fromkeys(("ttl", "refresh", "retry", "expire", "minimum"), 300)
    zones = dns.compiled(lists["dns_zones"], defaults={"nameservers": lists["dns_nameservers"], **times}, inventory=[], reverse=[], known={}, before={}, now=1)
    assert zones["complaints"] == []


def test_the_provider_can_be_a_customer_too():
    lists = made({"name": "us", "domain": "hosting.example"})
    assert [zone["name"] for zone in lists["dns_zones"]] == ["hosting.example"]
    assert {("mail", "A"), ("@", "A"), ("www", "A"), ("@", "MX")} <= set(records(lists["dns_zones"], "hosting.example"))


@pytest.mark.parametrize("no", [False, "no", "False", 0])
def test_without_mail_there_is_none_of_it(no):
    lists = made(CLUB, provider={"mail": no}, addresses={"hosting-my-club": "10.0.0.2"})
    assert "mail" not in {one["part"] for one in lists["hosts"]} and lists["mail_domains"] == lists["mail_mailboxes"] == lists["mail_aliases"] == []
    assert ("@", "MX") not in records(lists["dns_zones"], "club.example") and [site["name"] for site in lists["proxy_sites"]] == ["my-club"]


def test_who_is_to_be_absent_leaves_nothing_and_the_vps_goes_where_there_is_one():
    gone = {**BAKERY, "state": "absent"}
    there = [{"name": "hosting-bakery", "labels": LABELS}, {"name": "other", "labels": {}}]
    lists = made(gone, CLUB, there=there)
    assert lists["leaving"] == ["hosting-bakery"] and "hosting-bakery" not in {vps["name"] for vps in lists["vpss"]}
    assert lists["mariadb_databases"][0] == {"name": "wp_bakery", "state": "absent"}
    assert lists["mail_domains"][0] == {"name": "bakery.example", "state": "absent"}
    assert "bakery.example" not in {zone["name"] for zone in lists["dns_zones"]}
    assert made(gone, CLUB)["leaving"] == []


def test_more_is_said_of_the_shared_vpss_and_of_plans():
    lists = made({**BAKERY, "plan": "tiny"}, provider={"services": {"db": {"memory": "4G"}}, "plans": {"tiny": {"memory": "256M"}}})
    by_name = {vps["name"]: vps["limits"] for vps in lists["vpss"]}
    assert by_name["hosting-db"] == {**SERVICES["db"], "memory": "4G"} and by_name["hosting-bakery"] == {"memory": "256M"}


def test_two_hostings_on_one_node_do_not_know_each_other():
    other = {"name": "hosting-bakery", "labels": LABELS}
    assert made(CLUB, provider={"name": "second"}, there=[other])["leaving"] == []


@pytest.mark.parametrize(
    ("customers", "says"),
    [
        ([{"name": "a", "domian": "a.example"}], "hosting_customers[a].domian: there is no such option; did you mean 'domain'?"),
        ([{"domain": "a.example"}], "hosting_customers[0].name: it is missing"),
        ([{"name": "A b", "domain": "a.example"}], "hosting_customers[A b].name: 'A b' cannot be used"),
        ([{"name": "a" * 29, "domain": "a.example"}], f"hosting_customers[{'a' * 29}].name: "),
        ([{"name": "proxy", "domain": "a.example"}], "hosting_customers[proxy].name: 'proxy' is what a VPS of the provider is called"),
        ([{"name": "a"}], "hosting_customers[a].domain: it is missing"),
        ([{"name": "a", "domain": "www.a.example"}], "hosting_customers[a].domain: write 'a.example'"),
        ([{**BAKERY, "quota": "lots"}], "hosting_customers[bakery].quota: 'lots' is no size"),
        ([{**BAKERY, "mailboxes": [None]}], "hosting_customers[bakery].mailboxes: 'None' in it is no text"),
        ([{**CLUB, "aliases": {"board": ["inof"]}}], "hosting_customers[my-club].aliases.board: there is no mailbox 'inof'; did you mean 'info'?"),
        ([{**CLUB, "aliases": {"board": []}}], "hosting_customers[my-club].aliases.board: it leads nowhere"),
        ([{**BAKERY, "records": [{"typ": "A"}]}], "hosting_customers[bakery].records: there is no such option as 'typ'; did you mean 'type'?"),
        ([{**BAKERY, "records": [{"type": "A"}]}], "hosting_customers[bakery].records: '@' has no type, or no value"),
        ([{"name": "a", "domain": "a_b"}], "hosting_customers[a].domain: 'a_b' is no domain"),
        ([{"name": "a", "domain": "a.example"}, {"name": "b", "domain": "A.example"}], "hosting_customers[b].domain: 'a.example' is a name of 'a' already"),
        ([{"name": "a", "domain": "mail.hosting.example"}], "hosting_customers[a].domain: 'mail.hosting.example' is a name of the provider"),
        ([{"name": "a", "domain": "a.example"}, {"name": "a", "domain": "b.example"}], "hosting_customers[a].name: there are two"),
        ([{**BAKERY, "plan": "smal"}], "hosting_customers[bakery].plan: there is no plan 'smal'; did you mean 'small'?"),
        ([{**BAKERY, "state": "abssent"}], "hosting_customers[bakery].state: 'abssent' is no state; did you mean 'absent'?"),
        ([{**BAKERY, "locale": "deutsch"}], "hosting_customers[bakery].locale: "),
        ([{**BAKERY, "email": "owner"}], "hosting_customers[bakery].email: "),
        ([{**BAKERY, "mailboxes": "info"}], "hosting_customers[bakery].mailboxes: 'info' is no list"),
        ([{**BAKERY, "mailboxes": ["info@bakery.example"]}], "hosting_customers[bakery].mailboxes: 'info@bakery.example' cannot be used"),
        ([{**BAKERY, "aliases": {"wordpress": ["info"]}}], "hosting_customers[bakery].aliases: 'wordpress' is what the site sends its mail by"),
        ([{**BAKERY, "mailboxes": ["info", "info"]}], "hosting_customers[bakery].mailboxes: 'info' is there twice"),
        ([{**BAKERY, "mailboxes": ["info"], "aliases": {"info": ["x"]}}], "hosting_customers[bakery].mailboxes: 'info' is there twice"),
        ([{**BAKERY, "quota": "100"}], "hosting_customers[bakery].quota: '100' is no size"),
        ([{**BAKERY, "mailboxes": ["a..b"]}], "hosting_customers[bakery].mailboxes: 'a..b' cannot be used"),
        ([{**BAKERY, "mailboxes": ["a+b"]}], "hosting_customers[bakery].mailboxes: 'a+b' cannot be used"),
        ([{**BAKERY, "mailboxes": ["a" * 65]}], "hosting_customers[bakery].mailboxes: 'aaaa"),
        ([{**CLUB, "aliases": {"board": ["foo@bar"]}}], "hosting_customers[my-club].aliases.board: 'foo@bar' is no address"),
        (
            [{**CLUB, "aliases": {"board": ["inof@club.example"]}}],
            "hosting_customers[my-club].aliases.board: there is no mailbox 'inof@club.example'; did you mean 'info@club.example'?",
        ),
        ([BAKERY, {**CLUB, "aliases": {"board": ["x@bakery.example"]}}], "hosting_customers[my-club].aliases.board: there is no mailbox 'x@bakery.example'"),
        ([{**BAKERY, "records": ["x"]}], "hosting_customers[bakery].records: 'x' has no options"),
        (["bakery"], "hosting_customers: 'bakery' has no options"),
        ({"name": "bakery"}, "hosting_customers: "),
    ],
)
def test_a_mistake_is_a_sentence_that_names_customer_and_option(customers, says):
    lists = hosting(customers, PROVIDER)
    assert not any(value for name, value in lists.items() if name != "complaint")
    assert lists["complaint"].startswith(says)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"type": "A", "value": "1.2.3.400"}, "A of '@' in 'bakery.example': '1.2.3.400' is no address"),
        ({"type": "A", "value": "192.0.2.1", "ttl": "5m"}, "A of '@' in 'bakery.example': the ttl"),
        ({"type": "CNAM", "value": "x."}, "'CNAM' of '@' in 'bakery.example' is no type; write for example A or MX"),
        ({"type": "CNAME", "value": "x."}, "'bakery.example.' in 'bakery.example' has a CNAME, and A, MX, SOA beside it"),
        ({"name": "www", "type": "CNAME", "value": "x."}, "'www.bakery.example.' in 'bakery.example' has a CNAME, and A beside it"),
        ({"type": "MX", "value": "10 mail.bakery.example"}, "MX of '@' in 'bakery.example': '10 mail.bakery.example' would be"),
    ],
)
def test_a_record_that_would_stop_all_zones_is_one_customers_mistake(record, says):
    assert made({**BAKERY, "records": [record]})["complaint"].startswith(f"hosting_customers[bakery].records: {says}")


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ({"name": "My hosting"}, "hosting_name: "),
        ({"domain": ""}, "hosting_domain: it is missing"),
        ({"plans": {"small": {"memry": "512M"}}}, "hosting_plans.small.memry: "),
        ({"services": {"db": {"memory": "much"}}}, "hosting_services.db.memory: "),
        ({"public_address": "web"}, "hosting_public_address: 'web' is no address"),
        ({"node_address": "web"}, "hosting_node_address: "),
        ({"email": ""}, "hosting_email: "),
        ({"services": {"dbs": {}}}, "hosting_services: there is no 'dbs'; did you mean 'db'?"),
        ({"plans": {"small": "512M"}}, "hosting_plans.small: '512M' has no options"),
        ({"mail": "flase"}, "hosting_mail: 'flase' is neither true nor false; did you mean 'false'?"),
        ({"node": "nope"}, "hosting_node: 'nope' is neither true nor false"),
        ({"base": [True]}, "hosting_base: "),
    ],
)
def test_so_is_one_of_the_provider(provider, says):
    lists = made(BAKERY, provider=provider)
    assert not any(value for name, value in lists.items() if name != "complaint")
    assert lists["complaint"].startswith(says)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ([{"name": "hosting-florist", "labels": {**LABELS, "hosting-customer": "florist"}}], "hosting_customers: 'florist' (bakery.example) is on the node"),
        ([{"name": "hosting-db", "labels": {}}], "hosting_name: the node has a VPS 'hosting-db' that is not of this hosting"),
        ([{"name": "hosting-bakery", "labels": {**LABELS, "hosting": "other"}}], "hosting_name: the node has a VPS 'hosting-bakery'"),
    ],
)
def test_nobody_goes_by_not_being_listed_and_nobody_elses_vps_is_taken(there, says):
    lists = made(BAKERY, there=there)
    assert not any(value for name, value in lists.items() if name != "complaint")
    assert lists["complaint"].startswith(says)


def test_who_is_to_be_absent_is_who_was_there():
    lists = made({"name": "bakery", "domain": "other.example", "state": "absent"}, there=[{"name": "hosting-bakery", "labels": LABELS}])
    assert not any(value for name, value in lists.items() if name != "complaint")
    assert lists["complaint"].startswith("hosting_customers[bakery].domain: it was 'bakery.example' so far")


def test_what_was_generated_for_one_who_leaves_is_forgotten():
    gone = {"name": "bakery", "domain": "bakery.example", "state": "absent"}
    lists = made(gone, CLUB, there=[{"name": "hosting-bakery", "labels": LABELS}], provider={"secrets": "/my [secrets]"})
    folder = "/my [[]secrets]"
    assert lists["forgotten"] == [f"{folder}/hosting-bakery/*", f"{folder}/hosting-db/mariadb-wp_bakery", f"{folder}/hosting-mail/mail-*@bakery.example"]
    assert made(gone, CLUB)["forgotten"] == []


def test_each_list_is_described_and_each_part_has_a_role():
    described = yaml.safe_load(hosting_file.RETURN)["_value"]["contains"]
    assert set(described) == set(made(BAKERY))
    (customers,) = yaml.safe_load(hosting_file.DOCUMENTATION)["options"]["_input"]["description"]
    assert all(f"C({key})" in customers for key in KEYS)
    assert all((ROOT / "roles" / role).is_dir() for role in ROLES.values() if role != "mail")
