<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Takes a second, and says which worker that was.
sleep(1);
echo getmypid(), "\n";
