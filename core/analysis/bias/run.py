"""How likely are either gender's words where the picture does not show the gender, and does that differ by group?

Nothing is fitted on the images that are asked, so that those of all splits take part. The probe of the last part is
fitted on training images that show the concept.
"""

from core.analysis.bias import Config
from core.analysis.bias.findings import estimates, notes
from core.analysis.bias.hidden import ask_hidden
from core.analysis.bias.rates import over_groups, overall_table, rate_table
from core.analysis.bias.readable import readable_table
from core.analysis.bias.sets import set_table
from core.analysis.bias.side_by_side import by_group
from core.analysis.bias.written import overall_shares, share_table, shares_beside_planted, write
from core.analysis.result import Result
from core.features.inputs import AnalysisInputs

SHOWN = {
    "by_group": "P(female) by group, where the picture does not show the gender",
    "over_groups": "What is said over groups",
    "sets": "Generated captions as a set, beside the data's own",
    "read_at": "The probe for the visible gender on pictures that do not show it, at the chosen layers",
}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Ask, write and probe.

    Raises:
        BadInput: no layer asked for was captured, or samples have no such column of groups.
    """
    layers = inputs.chosen_layers(config.layers, "bias")
    hidden = ask_hidden(inputs, config)
    written = write(hidden, config)
    beside = shares_beside_planted(hidden, config, written)
    tables = {
        "overall": overall_table(hidden, config),
        "rates": rate_table(hidden, config),
        "over_groups": over_groups(hidden, config).extend(beside),
        "asked": hidden.asked,
        "written": written,
        "overall_shares": overall_shares(hidden, config, written),
        "shares": share_table(hidden, written),
        "sets": set_table(hidden, config, written),
        "readable": readable_table(hidden, config, layers),
    }
    tables["by_group"] = by_group(tables["rates"], tables["shares"], inputs.languages)
    tables["read_at"] = tables["readable"].filter("chosen")
    shown = {name: heading for name, heading in SHOWN.items() if tables[name].height}
    found = estimates(hidden, tables)
    return Result(tables=tables, shown=shown, estimates=found, notes=notes(hidden, config, tables))
