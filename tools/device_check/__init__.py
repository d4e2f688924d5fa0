"""asyncvm-device's checks of a device that speaks the protocol of docs/remote-devices.md."""
