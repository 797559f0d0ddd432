"""From frames to a clip inside a TensorFlow graph, as evaluation does with OpenCV and NumPy.

Only core operations of TensorFlow are used, so that TF Serving can run them.
"""

from typing import Any

import numpy as np

from ar3d_keras.videos.sampling import ClipShape

ROUNDING = 0.0005  # seconds, as in `sampling.frames_at`


def centre_window(available: Any, shape: ClipShape) -> Any:
    """Returns the frames of the one center clip of each video; see `sampling.uniform_clip`.

    Args:
        available: int32 (...), the number of frames of each video, at least 1.
        shape: the clip geometry.

    Returns:
        int32 (..., T), the indices of the clip's frames.
    """
    import tensorflow as tf

    available = available[..., tf.newaxis]
    if shape.sampling == "uniform":
        return (2 * tf.range(shape.frames) + 1) * available // (2 * shape.frames)
    strides = tf.range(1 if shape.fps else shape.stride, 0, -1)
    fitting = tf.where(available // strides > shape.frames, strides, 1)
    stride = tf.reduce_max(fitting, axis=-1, keepdims=True)
    start = tf.maximum(0, available - stride * (shape.frames - 1) - 1) // 2
    return (start + stride * tf.range(shape.frames)) % available


def timed_window(times: Any, available: Any, shape: ClipShape) -> Any:
    """The window of the one center clip of frames with time stamps; see `sampling.frames_at`.

    The last frame is shown as long as the frames before it on average.

    Args:
        times: float32 (batch, n), the time stamps of the frames in seconds, from any start.
        available: int32 (batch,), how many of them belong to the video, at least 1.
        shape: the clip geometry, with `fps`.

    Returns:
        int32 (batch, T), the indices of the clip's frames.
    """
    import tensorflow as tf

    times = tf.cast(times, tf.float64) - tf.cast(times[:, :1], tf.float64)
    last = tf.gather(times, available - 1, batch_dims=1)
    step = last / tf.cast(tf.maximum(available - 1, 1), tf.float64)
    moments = tf.math.ceil((last + step - ROUNDING) * shape.fps)
    virtual = centre_window(tf.maximum(1, tf.cast(moments, tf.int32)), shape)
    behind = tf.range(tf.shape(times)[1])[tf.newaxis] >= available[:, tf.newaxis]
    times = tf.where(behind, tf.constant(np.inf, tf.float64), times)
    shown = tf.searchsorted(
        times, tf.cast(virtual, tf.float64) / shape.fps + ROUNDING, side="right"
    )
    return tf.maximum(shown - 1, 0)


def centre_crop(images: Any, shape: ClipShape) -> Any:
    """Resizes images and crops the center: within one gray level of OpenCV's INTER_LINEAR.

    Args:
        images: uint8 (batch, any height, any width, 3).
        shape: the clip geometry.

    Returns:
        uint8 (batch, H, W, 3).
    """
    import tensorflow as tf

    if shape.roi:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        sides = tf.constant(shape.roi, tf.float64)
        if max(shape.roi) <= 1:
            sides *= tf.cast(tf.stack([width, height, width, height]), tf.float64)
        left, top, right, bottom = tf.unstack(tf.cast(tf.round(sides), tf.int32))
        images = images[:, top:bottom, left:right]
    resized = tf.image.resize(images, (shape.resize_height, shape.resize_width))
    top = (shape.resize_height - shape.height) // 2
    left = (shape.resize_width - shape.width) // 2
    cropped = resized[:, top : top + shape.height, left : left + shape.width]
    return tf.cast(tf.round(cropped), tf.uint8)


def clip_of_frames(frames: Any, shape: ClipShape, times: Any = None) -> Any:
    """Cuts the center clip out of videos whose frames all have one size.

    Args:
        frames: uint8 (batch, at least 1, any height, any width, 3), RGB.
        shape: the clip geometry.
        times: float32 (batch, as many as frames), time stamps in seconds; None: the frames are the
            ones that `shape.fps` asks for, or `shape.fps` is None.

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
        if times is not None:
            rows = tf.repeat(tf.identity(available), tf.shape(frames)[0])
            timed = tf.transpose(timed_window(times, rows, shape))
            clip = tf.map_fn(
                lambda places: centre_crop(tf.gather(frames, places, batch_dims=1), shape),
                timed,
                fn_output_signature=tf.TensorSpec((None, shape.height, shape.width, 3), tf.uint8),
            )
            return tf.transpose(clip, (1, 0, 2, 3, 4))
        window = centre_window(tf.identity(available), shape)
    # One frame at a time, because 16 frames of 4K take 400 MB.
    clip = tf.map_fn(
        lambda place: centre_crop(frames[:, place], shape),
        window,
        fn_output_signature=tf.TensorSpec((None, shape.height, shape.width, 3), tf.uint8),
    )
    return tf.transpose(clip, (1, 0, 2, 3, 4))


def clip_of_images(encoded: Any, shape: ClipShape, times: Any = None) -> tuple[Any, Any]:
    """Cuts the center clip out of videos whose frames are encoded images.

    A damaged image affects only its own row. Only the frames of the clip are decoded. Gray and
    alpha become RGB. Unlike OpenCV, TensorFlow ignores the rotation in EXIF data.

    Args:
        encoded: string (batch, n): JPEG or PNG, each of any size. Empty strings are skipped, so
            rows may have different numbers of frames.
        shape: the clip geometry.
        times: float32 (batch, n), the time stamp of each image in seconds; see `clip_of_frames`.

    Returns:
        clip: uint8 (batch, T, H, W, 3); a frame that cannot be decoded is black.
        error: string (batch,): what is wrong with the row, or an empty string.
    """
    import tensorflow as tf

    rows = tf.shape(encoded)[0]
    encoded = tf.concat([encoded, tf.fill((rows, 1), "")], axis=1)  # so that n is at least 1
    empty = tf.cast(encoded == "", tf.int32)
    available = tf.reduce_sum(1 - empty, axis=1)
    frames_first = tf.argsort(empty, axis=1, stable=True)
    if times is None:
        window = centre_window(tf.maximum(available, 1), shape)
    else:
        times = tf.concat([times, tf.zeros((rows, 1))], axis=1)
        times = tf.gather(times, frames_first, batch_dims=1)
        window = timed_window(times, tf.maximum(available, 1), shape)
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


def _decoded(images: Any, shape: ClipShape) -> tuple[Any, Any]:
    """Decodes, resizes and crops images: uint8 (n, H, W, 3); bool (n,) says which were decoded.

    A graph has no `try`, but a dataset can skip the elements that fail.
    """
    import tensorflow as tf

    def crop(number: Any, image: Any) -> tuple[Any, Any]:
        # OpenCV uses the same, slower and exact, transformation.
        frame = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
        return number, centre_crop(frame[tf.newaxis], shape)[0]

    count = tf.size(images)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), images))
    cropped = numbered.map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    black = tf.zeros((shape.height, shape.width, 3), tf.uint8)
    last = tf.data.Dataset.from_tensors((count, black))  # so that there is at least one
    decoded = cropped.ignore_errors().concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    numbers, frames = decoded.get_single_element()
    numbers = numbers[:, tf.newaxis]
    clip = tf.scatter_nd(numbers, frames, (count + 1, *black.shape))[:-1]
    return clip, tf.scatter_nd(numbers, tf.ones_like(numbers[:, 0], tf.bool), [count + 1])[:-1]
