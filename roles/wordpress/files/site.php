<?php
// Copyright (c) 2026, mainline.vps contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Brings one WordPress site to where its program is: installs it where its database has none, upgrades its database where the program is newer, and links
// the package's theme. Reads what is wanted as JSON from its input, which has a password, and says in a line of JSON what it has done, or would do. Never
// changes what an owner may have changed. Runs as the site's user: php site.php NAME

set_error_handler(fn (int $level, string $text) => error_log($text));
ini_set('display_errors', '0');

function finish(array $answer, int $code = 0): void
{
    fwrite(STDOUT, json_encode($answer) . "\n");
    exit($code);
}

$name = $argv[1];
$wanted = json_decode(stream_get_contents(STDIN), true);
$_SERVER['WORDPRESS_CONFIG'] = $name;
$_SERVER['HTTP_HOST'] = $wanted['domain'];
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD'] = 'GET';
const ABSPATH = '/usr/share/wordpress/';
require_once "/etc/wordpress/config-$name.php";
require ABSPATH . 'wp-includes/version.php';

// WordPress itself would end with a page for visitors.
mysqli_report(MYSQLI_REPORT_OFF);
[$host, $port] = explode(':', DB_HOST) + [1 => '3306'];
$database = mysqli_init();
$database->options(MYSQLI_OPT_CONNECT_TIMEOUT, 10);
$flags = defined('MYSQL_CLIENT_FLAGS') ? MYSQL_CLIENT_FLAGS : 0;
if (!@$database->real_connect($host, DB_USER, DB_PASSWORD, DB_NAME, (int) $port, null, $flags)) {
    finish(['failed' => sprintf("the database '%s' at %s does not let '%s' in: %s", DB_NAME, DB_HOST, DB_USER, $database->connect_error)], 1);
}

function one(string $query): ?string
{
    global $database;
    $answer = $database->query($query);
    return $answer ? ($answer->fetch_row()[0] ?? null) : null;
}

$installed = one("SELECT option_value FROM {$table_prefix}options WHERE option_name = 'siteurl'") !== null
    && (int) one("SELECT COUNT(*) FROM {$table_prefix}users") > 0; // made after the options: without, an installation has not come to its end
$revision = (int) one("SELECT option_value FROM {$table_prefix}options WHERE option_name = 'db_version'");
$database->close();

$changed = [];
$link = WP_CONTENT_DIR . "/themes/{$wanted['theme']}";
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
        populate_options(['permalink_structure' => '/%postname%/']);
        wp_install($wanted['title'], $wanted['user'], $wanted['email'], $wanted['public'], '', wp_slash($wanted['password']),
            $wanted['locale'] === 'en_US' ? '' : $wanted['locale']);
    }
}
finish(['changed' => $changed]);
