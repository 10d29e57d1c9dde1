# SPDX-License-Identifier: GPL-3.0-or-later
"""A token behind t/p11fault.c, and ways to make it and the vault process fail."""

import os
import signal

import harness
import seal
import servers


class FaultyHsm(servers.SoftHsm):
    """SoftHSM2 behind the module that misbehaves as its control file says."""

    def __init__(self, rig, label="zoneseal"):
        super().__init__(rig, label)
        self.control, self.calls_log = os.path.join(self.dir, "control"), os.path.join(self.dir, "calls")
        self.faults()

    def keystore(self, name="hsm", sessions=4, **_):
        env = {"P11FAULT_MODULE": servers.SoftHsm.module, "P11FAULT_CONTROL": self.control, "P11FAULT_LOG": self.calls_log}
        return super().keystore(name, sessions, module=os.path.join(seal.build_dir(), "p11fault.so"), env=env)

    def faults(self, *lines):
        """From the next call on. None: the token is well."""
        with open(self.control + ".new", "w") as f:
            f.write("".join(line + "\n" for line in lines))
        os.replace(self.control + ".new", self.control)

    def calls(self, name):
        """The return values of this function so far, all processes together."""
        try:
            with open(self.calls_log) as f:
                return [int(line.split()[1], 16) for line in f if line.split()[0] == name]
        except FileNotFoundError:
            return []

    def leave(self, daemon):
        """Switched off: no token in any slot, and what is open is worth nothing."""
        self.faults("C_GetSlotList empty", "C_SignInit return 0xe0", "C_Sign return 0xe0", "C_OpenSession return 0xe0",
                    "C_GetSessionInfo return 0xe0", "C_FindObjectsInit return 0xe0")
        kill_vaults(daemon, "hsm")
        harness.wait_for(lambda: daemon.metric("zoneseal_keystore_up", keystore="hsm") == 0, "the key store to be down")

    def come_back(self, daemon):
        self.faults()


def vaults(daemon, keystore):
    """Process ids of the vault of this key store."""
    out = []
    for pid in daemon.children():
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if b"vault " + keystore.encode() in f.read():
                    out.append(pid)
        except OSError:
            pass
    return out


def kill_vaults(daemon, keystore, number=signal.SIGKILL):
    pids = vaults(daemon, keystore)
    for pid in pids:
        os.kill(pid, number)
    return pids
