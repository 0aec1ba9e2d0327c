<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// An hour goes by for a post of the future: hasten.php ID, as the site's user.
$_SERVER['HTTP_HOST'] = 'localhost';
require '/usr/share/wordpress/wp-load.php';
$wpdb->update($wpdb->posts, ['post_date_gmt' => gmdate('Y-m-d H:i:s', time() - 9), 'post_date' => gmdate('Y-m-d H:i:s', time() - 9)], ['ID' => $argv[1]]);
wp_clear_scheduled_hook('publish_future_post', [(int) $argv[1]]);
wp_schedule_single_event(time() - 9, 'publish_future_post', [(int) $argv[1]]);
