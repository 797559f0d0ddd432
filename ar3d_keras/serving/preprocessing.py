"""From frames to a clip inside a TensorFlow graph: what evaluation does with OpenCV and NumPy.

Operations of TensorFlow's core alone, so that TF Serving can run them.
"""

from ar3d_keras.videos.sampling import ClipShape


def centre_window(available, shape: ClipShape):
    """The window of `sampling.grid_view` for one clip, of each of many videos.

    Args:
        available: int32 (...), frames of each video, at least 1.
        shape: the clip's geometry.

    Returns:
        int32 (..., T), the indices of the clip's frames.
    """
    import tensorflow as tf

    available = available[..., tf.newaxis]
    strides = tf.range(shape.stride, 0, -1)
    fitting = tf.where(available // strides > shape.frames, strides, 1)
    stride = tf.reduce_max(fitting, axis=-1, keepdims=True)
    start = tf.maximum(0, available - stride * (shape.frames - 1) - 1) // 2
    return (start + stride * tf.range(shape.frames)) % available


def centre_crop(images, shape: ClipShape):
    """Images resized, and the middle cut out: within one grey level of OpenCV's INTER_LINEAR.

    Args:
        images: uint8 (batch, any height, any width, 3).
        shape: the clip's geometry.

    Returns:
        uint8 (batch, H, W, 3).
    """
    import tensorflow as tf

    resized = tf.image.resize(images, (shape.resize_height, shape.resize_width))
    top = (shape.resize_height - shape.height) // 2
    left = (shape.resize_width - shape.width) // 2
    cropped = resized[:, top : top + shape.height, left : left + shape.width]
    return tf.cast(tf.round(cropped), tf.uint8)


def clip_of_frames(frames, shape: ClipShape):
    """The centre clip of videos whose frames are all of one size.

    Args:
        frames: uint8 (batch, at least 1, any height, any width, 3), RGB.
        shape: the clip's geometry.

    Returns:
        uint8 (batch, T, H, W, 3).

    Raises:
        InvalidArgumentError: there are no frames.
    """
    import tensorflow as tf

    available = tf.shape(frames)[1]
    some = tf.debugging.assert_positive(
        available, "`frames` holds no frame; a video has at least 1"
    )
    with tf.control_dependencies([some]):
        window = centre_window(tf.identity(available), shape)
    # A few frames at a time: of 4K frames, the 16 of a clip alone are 400 MB.
    clip = tf.map_fn(
        lambda place: centre_crop(frames[:, place], shape),
        window,
        fn_output_signature=tf.TensorSpec((None, shape.height, shape.width, 3), tf.uint8),
    )
    return tf.transpose(clip, (1, 0, 2, 3, 4))


def clip_of_images(encoded, shape: ClipShape):
    """The centre clip of videos whose frames are encoded images; a bad one spoils its row alone.

    Only the frames of the clip are decoded. Grey and alpha become RGB. Unlike OpenCV, TensorFlow
    does not turn an image upright that says in its EXIF data how it lies.

    Args:
        encoded: string (batch, n): JPEG or PNG, each of any size. An empty string is no frame,
            wherever it stands, so rows may have different numbers of them.
        shape: the clip's geometry.

    Returns:
        clip: uint8 (batch, T, H, W, 3); black where a frame cannot be decoded.
        error: string (batch,), empty where all is well, else what is wrong with the row.
    """
    import tensorflow as tf

    rows = tf.shape(encoded)[0]
    encoded = tf.concat([encoded, tf.fill((rows, 1), "")], axis=1)  # even no frames are some
    empty = tf.cast(encoded == "", tf.int32)
    available = tf.reduce_sum(1 - empty, axis=1)
    frames_first = tf.argsort(empty, axis=1, stable=True)
    window = centre_window(tf.maximum(available, 1), shape)
    places = tf.gather(frames_first, window, batch_dims=1)
    clip, whole = _decoded(tf.reshape(tf.gather(encoded, places, batch_dims=1), [-1]), shape)
    clip = tf.reshape(clip, (-1, *shape.array))
    whole = tf.reshape(whole, (-1, shape.frames))
    first_bad = tf.gather(places, tf.argmin(tf.cast(whole, tf.int32), axis=1), batch_dims=1)
    undecodable = tf.strings.join(
        ["frame ", tf.strings.as_string(first_bad), " is not a JPEG or PNG that can be decoded"]
    )
    error = tf.where(tf.reduce_all(whole, axis=1), "", undecodable)
    return clip, tf.where(available == 0, "there are no frames", error)


def _decoded(images, shape: ClipShape):
    """Decodes, resizes and crops images: uint8 (n, H, W, 3), and bool (n,), which were decoded.

    A graph has no `try`; but a dataset can leave out the elements that fail.
    """
    import tensorflow as tf

    def crop(number, image):
        # The slower, exact transformation is OpenCV's too.
        frame = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
        return number, centre_crop(frame[tf.newaxis], shape)[0]

    count = tf.size(images)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), images))
    cropped = numbered.map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    black = tf.zeros((shape.height, shape.width, 3), tf.uint8)
    last = tf.data.Dataset.from_tensors((count, black))  # so that there is one at least
    decoded = cropped.ignore_errors().concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    numbers, frames = decoded.get_single_element()
    numbers = numbers[:, tf.newaxis]
    clip = tf.scatter_nd(numbers, frames, (count + 1, *black.shape))[:-1]
    return clip, tf.scatter_nd(numbers, tf.ones_like(numbers[:, 0], tf.bool), [count + 1])[:-1]
