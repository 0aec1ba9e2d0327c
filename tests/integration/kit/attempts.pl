# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a guest does to run into a limit of a process: it takes one more until the kernel refuses, and says how many it got and with
# which number of an error it was refused. No module of Perl's is used, not even strict, so that the program alone will do.
# The numbers of system calls are those of amd64.
my ($what, $size) = @ARGV;
my ($count, @held) = (0);
my ($signal, $blocked) = (pack("l3 x4 x112", 34, 0, -1), pack("Q", 1 << 33));    # siginfo_t with SI_QUEUE; the first real-time one
my %take = (
    files => sub { open(my $file, "<", "/dev/null") or return; push @held, $file },
    terminals => sub { sysopen(my $file, "/dev/ptmx", 2) or return; push @held, $file },
    locked => sub { my $memory = "\0" x $size; push @held, \$memory; syscall(149, $memory, $size) == 0 },    # mlock(2)
    shared => sub { my $id = shmget(0, $size, 01600); defined $id or return; push @held, $id },
    signals => sub { syscall(129, $$ + 0, 34, $signal) == 0 },    # rt_sigqueueinfo(2)
    memory => sub { my $memory = "\1" x $size; push @held, \$memory },
);
syscall(14, 0, $blocked, 0, 8) if $what eq "signals";    # rt_sigprocmask(2): they wait
$! = 0;
while ($count < 100_000 && $take{$what}->()) { $count++ }
print "$count ", $! + 0, "\n";
if ($what eq "shared") { shmctl($_, 0, 0) for @held }
