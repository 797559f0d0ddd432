from ar3d_keras.evaluation.suspects import rank_suspects


def test_the_most_contradicted_label_comes_first():
    ranked = rank_suspects(
        [
            ("sure.mp4", "walk", {"walk": 0.9, "run": 0.1}),
            ("wrong.mp4", "walk", {"run": 0.95, "walk": 0.05}),
            ("doubtful.mp4", "run", {"walk": 0.5, "run": 0.5}),
        ]
    )
    assert [s.path for s in ranked] == ["wrong.mp4", "doubtful.mp4", "sure.mp4"]
    assert (ranked[0].proposed, ranked[0].is_contradicted) == ("run", True)
    assert [s.is_contradicted for s in ranked[1:]] == [False, False]


def test_several_predictions_of_a_video_are_averaged_and_a_missing_class_counts_as_zero():
    [suspect] = rank_suspects(
        [
            ("a.mp4", "walk", {"run": 0.6, "sit": 0.4}),
            ("a.mp4", "walk", {"walk": 0.5, "sit": 0.5}),
        ]
    )
    assert suspect.networks == 2
    assert suspect.label_probability == 0.25
    assert (suspect.proposed, suspect.proposed_probability) == ("sit", 0.45)
