<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Who I am, what I am told of the visitor, and what I get at of a neighbour: by PHP, by a program, and by the neighbour's socket.
header('Content-Type: application/json');
header('Referrer-Policy: no-referrer');
$neighbour = $_GET['neighbour'] ?? 'nobody';
echo json_encode([
    'user' => posix_getpwuid(posix_geteuid())['name'],
    'address' => $_SERVER['REMOTE_ADDR'],
    'https' => $_SERVER['HTTPS'] ?? '',
    'proto' => $_SERVER['HTTP_X_FORWARDED_PROTO'],
    'proxy' => $_SERVER['HTTP_PROXY'] ?? '',
    'read' => @file_get_contents("/srv/www/$neighbour/public/words.txt"),
    'cat' => (string) shell_exec("cat /srv/www/$neighbour/public/words.txt 2>/dev/null"),
    'sites' => trim((string) shell_exec('ls /srv/www')),
    'shared' => trim((string) shell_exec('touch /dev/shm/$(id -un); ls /dev/shm')),
    'logs' => trim((string) shell_exec('ls /var/log/nginx 2>/dev/null')),
    'pool' => (string) shell_exec("cat /etc/mainline-vps-web/$neighbour.conf 2>/dev/null"),
    'socket' => @stream_socket_client("unix:///run/web-php/$neighbour.sock") !== false,
    'written' => @file_put_contents(sys_get_temp_dir() . '/mine', 'mine') === 4,
    'memory' => ini_get('memory_limit'),
]);
