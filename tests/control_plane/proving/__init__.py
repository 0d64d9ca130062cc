"""Proves an image: a control plane of Trove on this machine makes an instance of it, and uses it.

Only the standard library is used here; what OpenStack needs is in a virtual environment of its own.
"""
