"""Ways to spoil a dataset of an HDF5 file, with words of the error that each causes."""

import h5py


def put(file, name, value, **options):
    """Replace a dataset."""
    del file[name]
    file.create_dataset(name, data=value, **options)


def _empty(file, name, **options):
    """Replace a dataset by one of its shape that nothing was written to."""
    shape, kind = file[name].shape, file[name].dtype
    del file[name]
    return file.create_dataset(name, shape, kind, **options)


def _half_filled(file, name):
    first, kind = file[name][:1], file[name].dtype
    del file[name]
    dataset = file.create_dataset(name, (3, *first.shape[1:]), kind, chunks=first.shape)
    dataset[1] = first[0]


def _link(link):
    def fault(file, name):
        file.move(name, "other")
        file[name] = link(name) if callable(link) else link

    return fault


def _virtual(file, name):
    shape, kind = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, kind)
    layout[...] = h5py.VirtualSource("elsewhere.h5", name, shape, kind)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _huge(file, name, chunks):
    rest, kind = file[name].shape[1:], file[name].dtype
    del file[name]
    shape, chunks = (10**15, *rest), (1, *rest) if chunks else None
    dataset = file.create_dataset(name, shape, kind, chunks=chunks)
    if chunks:
        dataset[0] = 1


def _far_larger_chunk(file, name):
    """Packed zeros that stand for four gigabytes, which are never made."""
    chunk = {3: (1 << 20, 1000, 1), 2: (1 << 20, 1000), 1: (1 << 30,)}[file[name].ndim]
    dataset = _empty(file, name, maxshape=(None,) * len(chunk), chunks=chunk, compression="gzip")
    dataset.id.write_direct_chunk((0,) * len(chunk), b"\x78\x9c\x03\0\0\0\0\x01")


def _as_type(kind):
    return lambda file, name: put(file, name, file[name][...].astype(kind))


FAULTS = {
    "missing": (lambda file, name: file.move(name, "other"), "is missing; the file holds"),
    "a group": (lambda f, name: (f.move(name, "other"), f.create_group(name)), "is a group, exp"),
    "another rank": (lambda f, name: put(f, name, f[name][...][None]), "has shape (1, "),
    "a scalar": (lambda f, name: put(f, name, f[name][...].ravel()[0]), "has shape ()"),
    "no shape": (lambda f, name: put(f, name, h5py.Empty(f[name].dtype)), "has shape None"),
    "no rows": (lambda f, name: put(f, name, f[name][:0]), "is empty, of shape (0,"),
    "complex": (_as_type(complex), "has type complex128, expected"),
    "booleans": (_as_type(bool), "has type bool, expected"),
    "strings": (_as_type("S4"), "has type |S4, expected"),
    "never filled": (_empty, "was never filled"),
    "chunks never filled": (lambda f, name: _empty(f, name, chunks=True), "was never filled"),
    "half filled": (_half_filled, "was never filled"),
    "a huge shape": (lambda f, name: _huge(f, name, False), "was never filled"),
    "a huge shape in chunks": (lambda f, name: _huge(f, name, True), "was never filled"),
    "a far larger chunk": (_far_larger_chunk, "unpacks"),
    "a soft link": (_link(h5py.SoftLink("/other")), "is a link, expected a dataset"),
    "a link to itself": (_link(lambda name: h5py.SoftLink(f"/{name}")), "is a link, expected"),
    "an external link": (_link(h5py.ExternalLink("/etc/passwd", "/x")), "is a link, expected"),
    "virtual": (_virtual, "is stored in another file"),
    "stored elsewhere": (
        lambda f, name: _empty(f, name, external=[("/etc/passwd", 0, f[name].nbytes)]),
        "is stored in another file",
    ),
}
