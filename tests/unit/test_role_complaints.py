# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles say of values that cannot be, in check mode on this machine, where they end before anything is touched.

Of all that is wrong the first sentence is told. So a role that tells the last one of its complaints.j2 has none about the rest, its defaults included.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

HASH = "$2b$05$abcdefghijklmnopqrstuutctEcn9jLJdOiC0zNE0sKf5GrTF.I0C"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIDvbJ1Zr0HrhG0aOlM3c6zX7vYpZ2O1Zk4b5Qw8T1xy alice"
SHOP = {"name": "shop", "domains": ["shop.example.com"], "admin_email": "owner@example.com"}
DOCS = {"name": "docs", "domains": ["docs.example.com"], "backends": ["192.0.2.10"]}

# What a role needs to get as far as that.
ALWAYS = {"monitoring": {"monitoring_server": True, "monitoring_servers": ["192.0.2.1"]}}

REFUSED = {
    "base": [
        ({"base_users": [{"name": "alice", "authorized_keys": ["ssh-ed2551 AAAA"]}]}, "base_users: 'ssh-ed2551 AAAA' is no public key"),
        ({"base_users": [{"name": "alice", "authorized_keys": [KEY]}, {"name": "alice"}]}, "base_users: of alice, alice somebody is there twice"),
        ({"base_users": [{"name": "root"}]}, "base_users: 'root' is a user of the system"),
        ({"base_ssh_ports": []}, "base_ssh_ports: [] are no ports"),
    ],
    "monitoring": [
        ({"monitoring_port": 0}, "monitoring_port: 0 is no port"),
        ({"monitoring_port": 65536}, "monitoring_port: 65536 is no port"),
        ({"monitoring_address": "web1:9999"}, "monitoring_address: 'web1:9999' is no address"),
        ({"monitoring_listen": "9090"}, "monitoring_listen: '9090' is nowhere to listen"),
        ({"monitoring_listen": "127.0.0.1"}, "monitoring_listen: '127.0.0.1' is nowhere to listen"),
        ({"monitoring_listen": "127.0.0.1:0"}, "monitoring_listen: '127.0.0.1:0' is nowhere to listen"),
        ({"monitoring_users": [{"name": "ops", "password_hash": HASH}] * 2}, "monitoring_users: 'ops' is there twice"),
        ({"monitoring_nodes": ["192.0.2.1"]}, "monitoring_nodes: '192.0.2.1' is no node"),
        ({"monitoring_nodes": ["http://192.0.2.1:9100"]}, "monitoring_nodes: 'http://192.0.2.1:9100' is no node"),
        ({"monitoring_retention": "90 d"}, "monitoring_retention: '90 d' is no duration"),
        ({"monitoring_retention": "12h1d"}, "monitoring_retention: '12h1d' is no duration"),
        ({"monitoring_retention": ""}, "monitoring_retention: '' is no duration"),
        ({"monitoring_alert_after": "5"}, "monitoring_alert_after: '5' is no duration"),
        ({"monitoring_mail_wait": "1.5m"}, "monitoring_mail_wait: '1.5m' is no duration"),
        ({"monitoring_retention_size": "10"}, "monitoring_retention_size: '10' is no size"),
        ({"monitoring_retention_size": "10G"}, "monitoring_retention_size: '10G' is no size"),
        ({"monitoring_samples": 0}, "monitoring_samples: 0 is too few"),
        ({"monitoring_disk_left": 0}, "monitoring_disk_left: 0 is no share"),
        ({"monitoring_disk_left": 100}, "monitoring_disk_left: 100 is no share"),
        ({"monitoring_memory_left": 100}, "monitoring_memory_left: 100 is no share"),
        ({"monitoring_rules": [{"expr": "vector(1)"}]}, "monitoring_rules: 'entry 1' is called nothing"),
        ({"monitoring_rules": [{"alert": "Always"}]}, "monitoring_rules: 'Always' has no expr"),
        ({"monitoring_rules": [{"alert": "A", "record": "a", "expr": "vector(1)"}]}, "monitoring_rules: 'A' has both alert and record"),
        ({"monitoring_scrapes": [{"static_configs": []}]}, "monitoring_scrapes: entry 1 has no job_name"),
        ({"monitoring_mail_to": ["ops@example.com", "root"]}, "monitoring_mail_to: 'root' is no mail address"),
        ({"monitoring_mail_from": "watch"}, "monitoring_mail_from: 'watch' is no mail address"),
    ],
    "wordpress": [
        ({"wordpress_sites": [SHOP, SHOP]}, "wordpress_sites: 'shop' is there twice"),
        ({"wordpress_sites": [SHOP, {"name": "shop", "state": "absent"}]}, "wordpress_sites: 'shop' is there twice"),
        ({"wordpress_sites": [{**SHOP, "domains": []}]}, "wordpress_sites: 'shop' has no domain"),
        ({"wordpress_sites": [{**SHOP, "domains": ["shop example"]}]}, "wordpress_sites: 'shop' has the domain 'shop example', which is none; write"),
        ({"wordpress_sites": [{**SHOP, "domains": ["*.example.com"]}]}, "wordpress_sites: 'shop' has the domain '*.example.com', which is none to be called"),
        ({"wordpress_sites": [{**SHOP, "locale": "de_de"}]}, "wordpress_sites: 'shop' has the locale 'de_de', which is none"),
        ({"wordpress_sites": [{**SHOP, "locale": "german"}]}, "wordpress_sites: 'shop' has the locale 'german', which is none"),
        ({"wordpress_sites": [{**SHOP, "database_host": "db 1"}]}, "wordpress_sites: 'shop' has the database_host 'db 1', which has a blank"),
        ({"wordpress_sites": [{**SHOP, "web": {"wieght": 300}}]}, "wordpress_sites: 'shop' has 'wieght' in web, which is no option"),
        ({"wordpress_sites": [{**SHOP, "web": {"php": False}}]}, "wordpress_sites: 'shop' has 'php' in web, which this role says"),
        ({"wordpress_sites": [SHOP, {**SHOP, "name": "two", "database_name": "shop"}]}, "wordpress_sites: 'two' has the database of 'shop'"),
    ],
    "proxy": [
        # With a site, which has these where it does not say otherwise: it is not the site that is told to be wrong.
        ({"proxy_timeout": 0, "proxy_sites": [DOCS]}, "proxy_timeout: 0 is too few"),
        ({"proxy_connect_timeout": -1, "proxy_sites": [DOCS]}, "proxy_connect_timeout: -1 is too few"),
        ({"proxy_client_max_body_size": "64mb", "proxy_sites": [DOCS]}, "proxy_client_max_body_size: '64mb' is no size"),
        ({"proxy_hsts": -1, "proxy_sites": [DOCS]}, "proxy_hsts: -1 is no time"),
        ({"proxy_sites": [{**DOCS, "client_max_body_size": "64mb"}]}, "proxy_sites: '64mb' of 'docs' is no client_max_body_size"),
        ({"proxy_sites": [{**DOCS, "backend_ca": "ca.pem"}]}, "proxy_sites: 'ca.pem' of 'docs' is no path"),
        ({"proxy_acme_ca_bundle": "own-ca.pem"}, "proxy_acme_ca_bundle: 'own-ca.pem' is no path"),
    ],
    "web": [
        ({"web_workers": 0}, "web_workers: 0 is too few"),
        ({"web_worker_connections": -1}, "web_worker_connections: -1 is too few"),
        ({"web_trusted_proxies": ["192.0.2.300"]}, "web_trusted_proxies: '192.0.2.300' is no address"),
        ({"web_trusted_proxies": ["192.0.2.0/33"]}, "web_trusted_proxies: '192.0.2.0/33' is no address"),
        ({"web_listen": ["0"]}, "web_listen: '0' is nowhere to listen"),
        ({"web_listen": ["192.0.2.1:99999"]}, "web_listen: '192.0.2.1:99999' is nowhere to listen"),
        ({"web_listen": ["192.0.2.300:80"]}, "web_listen: '192.0.2.300:80' is nowhere to listen"),
    ],
    "dns": [
        ({"dns_rate_limit": -1}, "dns_rate_limit: -1 is too few"),
        ({"dns_listen": ["192.0.2.300"]}, "dns_listen: '192.0.2.300' is no address"),
        ({"dns_listen": ["192.0.2.1:53"]}, "dns_listen: '192.0.2.1:53' is no address"),
        ({"dns_listen": ["::@0"]}, "dns_listen: '::@0' is no address"),
        ({"dns_listen": []}, "dns_listen: the server has to listen somewhere"),
    ],
    "mariadb": [
        ({"mariadb_max_connections": 0}, "mariadb_max_connections: 0 is too few"),
        ({"mariadb_max_connections": 9}, "mariadb_max_connections: 9 is too few"),
        ({"mariadb_users": [{"name": "shop", "hosts": ["192.0.2.300"]}]}, "mariadb_users: '192.0.2.300' of 'shop' is no host"),
        ({"mariadb_users": [{"name": "shop", "hosts": ["192.0.2"]}]}, "mariadb_users: '192.0.2' of 'shop' is no host"),
        ({"mariadb_users": [{"name": "shop", "hosts": ["300.0.2.0/24"]}]}, "mariadb_users: '300.0.2.0/24' of 'shop' is no host"),
        ({"mariadb_users": [{"name": "shop", "hosts": ["192.0.300.%"]}]}, "mariadb_users: '192.0.300.%' of 'shop' is no host"),
    ],
    "postgresql": [
        ({"postgresql_max_connections": 0}, "postgresql_max_connections: 0 is too few"),
        ({"postgresql_max_connections": 3}, "postgresql_max_connections: 3 is too few"),
        ({"postgresql_listen_addresses": [""]}, "postgresql_listen_addresses: '' is no address"),
    ],
    "mail": [
        ({"mail_spam_score": 0}, "mail_spam_score: 0 would put all mail into Junk"),
        ({"mail_spam_score": -1}, "mail_spam_score: -1 would put all mail into Junk"),
    ],
}

# The last sentence of each role.
LAST = {
    "base": ({"base_timezone": "x y"}, "base_timezone: 'x y' is no time zone"),
    "monitoring": ({"monitoring_mail_user": "watch"}, "monitoring_mail_password: there is none"),
    "wordpress": ({"wordpress_cron_interval": "often"}, "wordpress_cron_interval: 'often' is no time"),
    "proxy": ({"proxy_acme_eab_kid": "kid-1"}, "proxy_acme_eab_kid: an account and its key go together"),
    "web": ({"web_owner": "A"}, "web_owner: 'A' is no name"),
    "dns": ({"dns_tcp_clients": 0}, "dns_tcp_clients: 0 is too few"),
    "mariadb": ({"mariadb_settings": {"sql_mode": ["ANSI"]}}, "mariadb_settings: the value of 'sql_mode'"),
    "postgresql": ({"postgresql_settings": {"a": None}}, "postgresql_settings: the value of 'a'"),
    "mail": ({"mail_postfix_settings": {"a": None}}, "mail_postfix_settings: the value of 'a'"),
}

# What is unusual, and what the services take.
TAKEN = {
    "base": [{"base_users": [{"name": "alice", "authorized_keys": [KEY, f'restrict,command="ls -l" {KEY}']}], "base_ssh": False, "base_ssh_ports": []}],
    "monitoring": [
        {"monitoring_retention": 0, "monitoring_alert_after": "0s", "monitoring_mail_wait": "1m30s", "monitoring_retention_size": "1.5GB"},
        {"monitoring_retention": "1y2w", "monitoring_retention_size": "0", "monitoring_port": "1", "monitoring_samples": "100", "monitoring_disk_left": 99},
        {"monitoring_listen": "[::1]:9090", "monitoring_nodes": ["[2001:db8::1]:9100", "n1.example.com:9100"], "monitoring_retention_size": "1GiB512MiB"},
        {"monitoring_listen": ":9090", "monitoring_users": [{"name": "ops", "password_hash": HASH}], "monitoring_address": "2001:db8::2/64"},
        {"monitoring_mail_to": ["Ops <ops@example.com>", "a@localhost"], "monitoring_mail_from": "w@example.com", "monitoring_mail_server": "192.0.2.1:25"},
        {"monitoring_rules": [{"record": "a:b", "expr": 0}], "monitoring_scrapes": [{"job_name": "a"}], "monitoring_address": "web1.example.com"},
    ],
    "wordpress": [
        {"wordpress_sites": [{**SHOP, "locale": locale, "database_host": host}]}
        for locale, host in [("ckb", "[2001:db8::2]:3307"), ("pt_PT_ao90", "localhost:/run/db.sock"), ("de_DE_formal", ""), ("de_DE", "db.example.com")]
    ]
    + [
        {"wordpress_sites": [{**SHOP, "domains": ["Shop.example.com", "*.example.com"], "web": {"weight": 300, "nginx": "#", "php_settings": {}}}]},
        {"wordpress_sites": [{"name": "shop", "state": "absent"}]},
    ],
    "proxy": [
        {"proxy_client_max_body_size": 0, "proxy_timeout": "1", "proxy_hsts": 31536000, "proxy_acme_ca_bundle": "", "proxy_sites": [DOCS]},
        {"proxy_client_max_body_size": "1G", "proxy_acme_ca_bundle": "/etc/ssl/own-ca.pem"},
    ],
    "web": [
        {
            **{"web_workers": None, "web_worker_connections": "1", "web_listen": [80, "8080", "*:81", "192.0.2.1:65535", "[::]:80", "[2001:db8::1]:1"]},
            "web_trusted_proxies": ["192.0.2.1", "10.0.0.0/8", "::1", "2001:db8::/64", "0.0.0.0/0"],
        }
    ],
    "dns": [
        {"dns_rate_limit": 0, "dns_listen": ["192.0.2.53@5353", "::1@53", "2001:db8::53", "::ffff:192.0.2.1"]},
    ],
    "mariadb": [
        {"mariadb_max_connections": 10, "mariadb_users": [{"name": "shop", "hosts": ["localhost", "%", "192.0.2.1", "192.0.2.0/24", "2001:db8::%"]}]},
        {"mariadb_max_connections": None, "mariadb_users": [{"name": "shop", "hosts": ["192.0.2.%", "10.%", "%.0.2.1", "10.0.0.0/255.0.0.0", "::1"]}]},
    ],
    "postgresql": [{"postgresql_max_connections": 4, "postgresql_listen_addresses": []}],
    "mail": [{"mail_spam_score": "1", "mail_reject_score": "15"}],
}


def said_by(role, cases, folder):
    """What `role` says of each of `cases`, which are values of its variables. One run for all of them."""
    tasks = []
    for number, values in enumerate(cases):
        call = {"ansible.builtin.include_role": {"name": f"mainline.vps.{role}"}, "vars": ALWAYS.get(role, {}) | values}
        of_a_loop = "ansible_failed_result.results | default([]) | selectattr('failed', 'defined') | selectattr('failed') | map(attribute='msg') | first"
        tell = {"ansible.builtin.debug": {"msg": f"{number}: {{{{ {of_a_loop} | default(ansible_failed_result.msg) }}}}"}}
        tasks.append({"block": [call, {"ansible.builtin.fail": {"msg": "nothing"}}], "rescue": [tell]})
    (folder / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.build/live:{ROOT}/.build/community", "LC_ALL": "C.UTF-8"}
    here = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = [Path(sys.executable).parent / "ansible-playbook", *here, "--check", folder / "play.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "changed=0 " in done.stdout, done.stdout + done.stderr
    return [json.loads(text).split(": ", 1)[1] for text in re.findall(r'"msg": ("\d+: .*")', done.stdout)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/templates/complaints.j2")), ids=lambda path: path.parents[1].name)
def test_a_slip_in_the_complaints_themselves_is_an_error(path):
    """What is undefined in them made all of them void, with a default for what the lookup says."""
    variables = (path.parents[1] / "vars/main.yml").read_text(encoding="utf-8")
    assert "(lookup('ansible.builtin.template', 'complaints.j2') or '')" in variables and "'complaints.j2') | default" not in variables


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_says_what_is_wrong_and_nothing_of_what_is_right(role, tmp_path):
    last, sentence = LAST[role]
    cases = [*REFUSED[role], (last, sentence), *(({**last, **values}, sentence) for values in TAKEN[role])]
    said = said_by(role, [case[0] for case in cases], tmp_path)
    assert len(said) == len(cases)
    assert not [(values, begin, told) for (values, begin), told in zip(cases, said, strict=True) if not told.startswith(begin)]


def slip(options):
    """Values with a text for the first list of single values, and where that is."""
    for name, option in options.items():
        if option.get("type") != "list" or "choices" in option:
            continue
        if option.get("elements") != "dict":
            return {name: "secret"}, name
        inside = slip(option["options"])
        if inside:
            others = {key: option.get("choices", ["x"])[0] for key, option in option["options"].items() if option.get("required")}
            return {name: [{**others, **inside[0]}]}, f"{name}[{others.get('name', 0)}].{inside[1]}"
    return None


ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))


@pytest.mark.parametrize("role", [name for name in ROLES if name != "packages"])  # which the others call, and which has nothing to lose
def test_a_role_refuses_a_text_for_a_list(role, tmp_path):
    (entry,) = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"].values()
    values, path = slip(entry["options"])
    values |= {name: "x" for name, option in entry["options"].items() if option.get("required")}
    (said,) = said_by(role, [values], tmp_path)
    assert said.startswith(f"{path}: this is no list")
