<?php
// Copyright (c) 2026, mainline.vps contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Brings one WordPress site to where its program is: installs it where its database has none, upgrades its database where the program is newer, and links
// the package's theme. Reads what is wanted as JSON from its input, which has a password, and says in a line of JSON what it has done, or would do. Never
// changes what an owner may have changed. Runs as the site's user: php site.php NAME

set_error_handler(fn (int $level, string $text) => error_log($text));
ini_set('display_errors', '0');
ob_start(); // what WordPress has to say to visitors

function finish(array $answer, int $code = 0): void
{
    ob_end_clean();
    register_shutdown_function(fn () => exit($code));
    fwrite(STDOUT, json_encode($answer) . "\n");
    exit($code);
}

register_shutdown_function(function (): void {
    if (ob_get_level()) { // WordPress has ended it, with a page that says why
        $told = preg_replace('/<(style|title)\b.*?<\/\1>/s', '', ob_get_contents());
        finish(['failed' => trim(preg_replace('/\s+/', ' ', html_entity_decode(strip_tags($told)))) ?: 'WordPress ended without a word'], 1);
    }
});

$name = $argv[1];
$wanted = json_decode(stream_get_contents(STDIN), true);
$_SERVER['WORDPRESS_CONFIG'] = $name;
$_SERVER['HTTP_HOST'] = $wanted['domain'];
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD'] = 'GET';
const ABSPATH = '/usr/share/wordpress/';
// WordPress runs what it finds in this folder: db.php, object-cache.php, mu-plugins, translations. In the site's own that is its owner's, who may do
// within the bounds of the site what they like, and not here, where none are; the package's folder has the same themes and languages.
const WP_CONTENT_DIR = ABSPATH . 'wp-content';
$content = "/srv/www/$name/wp-content";
$handler = set_error_handler(fn () => true); // the file says what that folder is once more
require_once "/etc/wordpress/config-$name.php";
set_error_handler($handler);
require ABSPATH . 'wp-includes/version.php';

// WordPress itself would end with a page for visitors.
mysqli_report(MYSQLI_REPORT_OFF);
// As it understands it: host, host:port, host:/socket, and an address of IPv6, in brackets where a port follows.
preg_match('~^(\[[^]]*\]|[^:/]*)(?::(\d+)|:?(/.*))?$~', DB_HOST, $where) or $where = [1 => '[' . DB_HOST . ']'];
[, $host, $port, $socket] = $where + [2 => '', 3 => ''];
$database = mysqli_init();
$database->options(MYSQLI_OPT_CONNECT_TIMEOUT, 10);
$database->options(MYSQLI_OPT_READ_TIMEOUT, 60);
$flags = defined('MYSQL_CLIENT_FLAGS') ? MYSQL_CLIENT_FLAGS : 0;
if (!@$database->real_connect($host, DB_USER, DB_PASSWORD, DB_NAME, (int) ($port ?: 3306), $socket ?: null, $flags)) {
    finish(['failed' => sprintf("the database '%s' at %s does not let '%s' in: %s", DB_NAME, DB_HOST, DB_USER, $database->connect_error)], 1);
}

function one(string $query): ?string
{
    global $database;
    $answer = $database->query($query);
    if (!$answer && $database->errno !== 1146) { // another error than that there is no such table, after which nobody knows what there is
        finish(['failed' => sprintf("the database '%s' at %s does not say what is in it: %s", DB_NAME, DB_HOST, $database->error)], 1);
    }
    return $answer ? ($answer->fetch_row()[0] ?? null) : null;
}

// An installation that was cut leaves tables. Where it has options, they say so; where it has none yet, a file does. Tables of others are not installed over.
$begun = "$content/.mainline-vps-installing";
const MARK = 'mainline_vps_installing';
$options = one("SELECT option_value FROM {$table_prefix}options WHERE option_name = 'siteurl'") !== null;
$installed = $options && one("SELECT option_value FROM {$table_prefix}options WHERE option_name = '" . MARK . "'") === null;
$revision = (int) one("SELECT option_value FROM {$table_prefix}options WHERE option_name = 'db_version'");
$tables = (int) one("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '" . $database->real_escape_string(DB_NAME) . "'
    AND TABLE_NAME IN ('{$table_prefix}posts', '{$table_prefix}users', '{$table_prefix}options')");
$posts = (int) one("SELECT COUNT(*) FROM {$table_prefix}posts");
$database->close();
if (!$options && $tables && !file_exists($begun)) {
    finish(['failed' => sprintf("the database '%s' at %s has tables of a WordPress, and not its options; look at it", DB_NAME, DB_HOST)], 1);
}

$changed = [];
$link = "$content/themes/{$wanted['theme']}";
if (!is_link($link) && !file_exists($link)) {
    $changed[] = "link the theme {$wanted['theme']}";
}
if (!$installed) {
    $changed[] = 'install';
} elseif ($revision < $wp_db_version) {
    $changed[] = "upgrade the database from $revision to $wp_db_version";
}
if (!$changed || $wanted['check']) {
    finish(['changed' => $changed]);
}

if (!is_link($link) && !file_exists($link)) {
    symlink(ABSPATH . "wp-content/themes/{$wanted['theme']}", $link);
}
if (!$installed || $revision < $wp_db_version) {
    define('WP_INSTALLING', true);
    if (!$installed) {
        touch($begun);
        if ($tables) {
            define('WP_REPAIRING', true); // it refuses to go on with tables that are there
        }
    }
    if ($posts) {
        function wp_install_defaults(): void // the first page and post, which are there already
        {
        }
    }
    // Nobody has to be asked, and nobody is to be told: who runs this knows the password.
    function wp_new_blog_notification(): void
    {
    }
    require_once ABSPATH . 'wp-load.php';
    require_once ABSPATH . 'wp-admin/includes/upgrade.php';
    add_filter('pre_http_request', fn () => new WP_Error('offline', 'nobody is asked now'));
    add_filter('pre_wp_mail', '__return_true');
    if ($installed) {
        wp_upgrade();
    } else {
        load_default_textdomain($wanted['locale']);
        $GLOBALS['wp_locale'] = new WP_Locale();
        make_db_current_silent();
        // WordPress would try whether addresses without '?' work, and could not: nginx leads them to index.php.
        populate_options([MARK => '1', 'permalink_structure' => '/%postname%/']);
        wp_install($wanted['title'], $wanted['user'], $wanted['email'], $wanted['public'], '', wp_slash($wanted['password']),
            $wanted['locale'] === 'en_US' ? '' : $wanted['locale']);
        delete_option(MARK);
        unlink($begun);
    }
}
finish(['changed' => $changed]);
