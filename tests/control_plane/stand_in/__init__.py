"""Nova, Neutron and Cinder, as far as Trove needs them for an instance: Trove loads these modules through its options
`remote_nova_client`, `remote_neutron_client`, `remote_cinder_client` and `remote_swift_client`.

A server is a qemu process of an ordinary user, a volume a sparse file, a port or a security group a JSON file. All
state is in one directory, so that trove-api and trove-taskmanager, which are two processes, see the same cloud.
"""
