import pickle

from prefect.serializers import JSONSerializer

from tasks.job import OutOfTime


def test_a_unit_s_end_before_its_job_s_survives_dask_and_prefect_s_stored_results() -> None:
    error = OutOfTime.at("44", 3, 25, 0.512)
    assert str(error) == "job 44 is near its walltime; stopped at 3 of 25, after 51.2 % of its time"
    stored = JSONSerializer()
    for again in (pickle.loads(pickle.dumps(error)), stored.loads(stored.dumps(error))):
        assert isinstance(again, OutOfTime)
        assert (again.job, again.done, again.total, again.share) == ("44", 3, 25, 0.512)
