"""Messages that are shared: each is told by an exercise, and all differ."""

from freqsense.exercises import EXERCISES, messages

TOLD = {wrong.message for exercise in EXERCISES.values() for wrong in exercise.wrong}


def test_every_shared_message_is_told():
    unused = [name for name in messages.__all__ if getattr(messages, name) not in TOLD]
    assert unused == []


def test_no_two_are_the_same():
    texts = [getattr(messages, name) for name in messages.__all__]
    assert len(set(texts)) == len(texts)
    public = {name for name in vars(messages) if name.isupper()}
    assert public == set(messages.__all__)
