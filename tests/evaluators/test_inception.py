"""Features of SavedModels: real files, written here and read the way a user's are."""

import shutil

import numpy as np
import pytest

from uvim_fsq.evaluators.inception import InceptionError, InceptionFeatures

tf = pytest.importorskip("tensorflow")

ANY_SIZE = tf.TensorSpec((None, None, None, 3), tf.float32)


def moments(images):
    """Mean and mean square of each colour."""
    parts = [tf.reduce_mean(images**power, axis=(1, 2)) for power in (1, 2)]
    return tf.concat(parts, axis=-1)


def expected(images):
    return np.concatenate([(images**power).mean((1, 2)) for power in (1, 2)], axis=1)


def save(path, outputs, spec=ANY_SIZE, called=True, signature=None):
    """A SavedModel of the function `outputs`: one to call, or one with a signature."""
    call = tf.function(lambda self, x: outputs(x), input_signature=[spec])
    model = type("Model", (tf.Module,), {"__call__": call} if called else {})()
    signatures = {}
    if signature:
        signatures[signature] = tf.function(outputs, input_signature=[spec])
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


@pytest.fixture
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (5, 6, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_any_number_of_pictures(tmp_path, pictures, count):
    """A batch that is not full is filled up, and what fills it is dropped."""
    path = save(tmp_path / "My-Model 2", lambda x: {"pool_3": moments(x)})
    extract = InceptionFeatures(path, batch_size=2)
    features = extract(pictures[:count])
    assert features.shape == (count, 6) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected(pictures[:count]), atol=1e-6)
    assert (extract.dimensions, extract.name) == (6, "my_model_2")
    assert not extract.is_inception


def test_batches_have_one_size(tmp_path, pictures):
    """Seen from inside: the number of pictures that the network is given."""

    def count(x):
        n = tf.shape(x)[0]
        return {"pool_3": tf.fill([n, 1], tf.cast(n, tf.float32))}

    extract = InceptionFeatures(save(tmp_path / "m", count), batch_size=4)
    np.testing.assert_array_equal(extract(pictures), np.full((5, 1), 4))


@pytest.mark.parametrize("signature", ["serving_default", "default"])
def test_signature_with_named_input_and_maps_of_one_pixel(
    tmp_path, pictures, signature
):
    def outputs(x):
        return {"pool_3": moments(x)[:, None, None, :], "other": x}

    path = save(tmp_path / "m", outputs, called=False, signature=signature)
    features = InceptionFeatures(path)(pictures)
    np.testing.assert_allclose(features, expected(pictures), atol=1e-6)


def test_declared_size(tmp_path, pictures):
    """Pictures are resized bilinearly to the declared size; a declared batch is kept to."""
    spec = tf.TensorSpec((3, 12, 16, 3), tf.float32)
    path = save(tmp_path / "m", lambda x: {"pool_3": x[:, 0, 8:9, 0]}, spec)
    extract = InceptionFeatures(path)
    assert extract.batch_size == 3
    # Between the columns 3 and 4, at (8 + 0.5) / 2 - 0.5 = 3.75.
    between = pictures[:, 0, 3, 0] * 0.25 + pictures[:, 0, 4, 0] * 0.75
    np.testing.assert_allclose(extract(pictures)[:, 0], between, atol=1e-6)


@pytest.mark.parametrize(
    "features, classes, known",
    [(2048, 1008, True), (2048, 1000, False), (2048, None, False), (192, 1008, False)],
)
def test_inception_is_known_by_its_outputs(tmp_path, features, classes, known):
    def outputs(x):
        n = tf.shape(x)[0]
        sizes = {"pool_3": features, "logits": classes}
        return {name: tf.zeros([n, size]) for name, size in sizes.items() if size}

    assert InceptionFeatures(save(tmp_path / "m", outputs)).is_inception is known


def test_what_has_no_pool_3_says_what_it_has(tmp_path):
    path = save(
        tmp_path / "m",
        lambda x: {"predictions": moments(x), "features": x},
        signature="serving_default",
    )
    with pytest.raises(InceptionError, match="'pool_3'.*gives features, predictions"):
        InceptionFeatures(path)
    path = save(tmp_path / "plain", moments)
    with pytest.raises(InceptionError, match="one output without a name"):
        InceptionFeatures(path)
    path = save(tmp_path / "maps", lambda x: {"pool_3": x})
    with pytest.raises(InceptionError, match=r"pool_3 has shape \(1, 299, 299, 3\)"):
        InceptionFeatures(path)
    path = save(tmp_path / "odd", lambda x: {"pool_3": x}, called=False, signature="go")
    with pytest.raises(InceptionError, match="cannot be called.*signatures go"):
        InceptionFeatures(path)


def test_other_inputs_are_refused(tmp_path):
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    path = save(tmp_path / "bytes", lambda x: {"pool_3": x[:, 0, 0]}, spec)
    with pytest.raises(InceptionError, match="it takes uint8 of shape"):
        InceptionFeatures(path)
    spec = tf.TensorSpec((None, None, None, 1), tf.float32)
    path = save(tmp_path / "grey", lambda x: {"pool_3": x[:, 0, 0]}, spec)
    with pytest.raises(InceptionError, match="it takes no such pictures"):
        InceptionFeatures(path)


def test_digest_is_that_of_the_content(tmp_path):
    path = save(tmp_path / "m", lambda x: {"pool_3": moments(x)})
    shutil.copytree(path, tmp_path / "copy")
    first = InceptionFeatures(path).digest
    assert InceptionFeatures(tmp_path / "copy").digest == first
    (tmp_path / "copy" / "assets" / "classes.txt").write_text("cat\n")
    assert InceptionFeatures(tmp_path / "copy").digest != first


def test_what_is_no_saved_model(tmp_path):
    with pytest.raises(InceptionError, match="saved_model.pb, found nothing"):
        InceptionFeatures(tmp_path / "missing")
    with pytest.raises(InceptionError, match="found an empty folder"):
        InceptionFeatures(tmp_path)
    (tmp_path / "archive.tar.gz").write_bytes(b"x")
    with pytest.raises(InceptionError, match="found a folder with archive.tar.gz"):
        InceptionFeatures(tmp_path)
    with pytest.raises(InceptionError, match="found a file"):
        InceptionFeatures(tmp_path / "archive.tar.gz")
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(InceptionError, match="cannot be loaded as a SavedModel"):
        InceptionFeatures(tmp_path)


@pytest.mark.slow
def test_inception_v3(tmp_path):
    """The real architecture with random weights: size, names, padding, and what it computes."""
    network = tf.keras.applications.InceptionV3(
        weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3)
    )

    class Model(tf.Module):
        def __init__(self):
            self.network = network
            self.classes = tf.Variable(tf.random.normal((2048, 1008)))

        @tf.function(input_signature=[ANY_SIZE])
        def __call__(self, images):
            resized = tf.image.resize(images, (299, 299))
            pool = self.network(resized, training=False)
            return {"pool_3": pool, "logits": pool @ self.classes}

    tf.saved_model.save(Model(), str(tmp_path / "inception"))
    extract = InceptionFeatures(tmp_path / "inception", batch_size=4)
    assert extract.is_inception and extract.dimensions == 2048
    images = np.random.default_rng(1).uniform(-1, 1, (6, 256, 256, 3))
    images = (images * np.linspace(0, 1, 6)[:, None, None, None]).astype(np.float32)
    features = extract(images)
    theirs = network(tf.image.resize(images, (299, 299)), training=False).numpy()
    assert np.ptp(theirs, axis=0).max() > 1e-5  # different pictures, different features
    np.testing.assert_allclose(features, theirs, rtol=1e-3, atol=1e-7)
