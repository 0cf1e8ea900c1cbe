from few_objects import few_objects as few_objects
